"""From labelled structures to the kernels of a Gaussian process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mlip.descriptors.acsf import ACSF
from mlip.gpr.hyperparameters import SMALLEST_NOISE, Hyperparameters, best_in_folds, likeliest
from mlip.gpr.inducing import inducing_points, shared_out
from mlip.gpr.observations import Family, Noise, families_of, size_of
from mlip.gpr.solving import exact, sparse
from mlip.model.assembly import covariances, covariances_with_points
from mlip.model.coordinates import Coordinates, half_squares
from mlip.model.covariance import Covariance
from mlip.model.kernels import AtomicKernels, Posterior
from mlip.model.scaling import FeatureScaling
from mlip.training.examples import Examples

LABELS, MOST_STRUCTURES = 550, 100  # that hyper-parameters are found from unless the config says how many
SMALLEST_SHARE = 1e-9  # of the variance of scaled features; components with less are rounding


@dataclass(frozen=True)
class Options:
    """How a Gaussian process is fitted; plain values."""

    covariance: Covariance
    full: bool  # all labels are its basis; else inducing environments
    points: int  # inducing environments of a sparse process
    selection: str  # "farthest" or "cur"
    hyperparameters: str  # "likelihood", "cross_validation" or "given"
    structures: int | None  # from which these are found; None: as many as have enough labels
    length: float  # to begin with, or given; in units of the root mean square distance of atoms
    noise: Noise
    signal: float | None  # eV; None: from the data
    coordinates: int | None  # most coordinates of an atom; None: all
    variance_points: int  # inducing environments of the variance of predictions; 0: no variance
    seed: int


@dataclass(frozen=True)
class Fitted:
    """Kernels, and what was found on the way."""

    kernels: AtomicKernels
    hyperparameters: Hyperparameters
    labels: int
    points: int

    def results(self) -> dict[str, Any]:
        """For results.json."""
        found = self.hyperparameters
        return {
            "labels": self.labels,
            "environments": self.points,
            "lengths": list(found.lengths),
            "noise": found.noise,
            "signal": found.signal,
            "log_likelihood": found.log_likelihood,
        }


def projections(
    features: Sequence[Float[Tensor, "_ D"]], scaling: FeatureScaling, most: int | None
) -> list[Float[Tensor, "D _"]]:
    r"""Principal components of each element's scaled features, divided by the root mean square distance of two atoms.

    All components leave distances as they are; `most` keeps those with the largest variance.
    """
    found = []
    for e, values in enumerate(features):
        atoms = len(values)
        x = scaling(values.double(), torch.full((atoms,), e))
        centered = x - x.mean(dim=0) if atoms else x
        variances, directions = torch.linalg.eigh(centered.T @ centered)
        kept = variances > SMALLEST_SHARE * max(float(variances.sum()), 1e-300)
        if most is not None:
            kept[: max(0, len(kept) - most)] = False
        if not kept.any():
            kept[-1] = True  # atoms all alike, or none
        distance = (2.0 * variances.sum() / max(1, atoms)).sqrt()
        found.append(directions[:, kept] / (distance if distance > 0 else 1.0))
    return found


def fit(
    examples: Examples,
    descriptor: ACSF,
    features: Sequence[Float[Tensor, "_ D"]],
    scaling: FeatureScaling,
    references: Float[Tensor, "E"],
    options: Options,
    step: Callable[[int], object] = lambda done: None,
) -> Fitted:
    """Kernels that give the labels less the reference energies; `features` are those of each element's atoms.

    `step` is told how many structures are done in the longest part.

    Raises:
        ValueError: the covariances are singular.
    """
    unit = projections(features, scaling, options.coordinates)

    def families(structures: Sequence[int], lengths: Sequence[float]) -> list[Family]:
        scaled = [W / length for W, length in zip(unit, lengths, strict=True)]
        coordinates = Coordinates(options.covariance, scaled)
        return families_of(examples, structures, descriptor, scaling, coordinates, references, options.noise)

    size = size_of(examples, descriptor)
    enough = min(MOST_STRUCTURES, max(2, round(LABELS * size.structures / max(1, size.labels))))
    count = min(len(examples), options.structures or enough)
    found = _hyperparameters(families, _drawn(len(examples), count, options.seed), len(unit), options)
    scaled = [W / length for W, length in zip(unit, found.lengths, strict=True)]
    everything = families(range(len(examples)), found.lengths)
    values, variance = (torch.cat([getattr(f, k).reshape(-1) for f in everything]) for k in ("values", "variance"))
    variance = found.noise * variance
    points = [
        torch.cat([f.sites.points[e].reshape(-1, W.shape[1]) for f in everything])
        for e, W in enumerate(_wide(scaled, options))
    ]
    sites = [family.sites for family in everything]
    # The variance is made of fewer environments than a sparse process, the first that were chosen of each element.
    inducing = inducing_points(
        points, max(options.variance_points, 0 if options.full else options.points), options.selection
    )
    among = torch.block_diag(*(options.covariance(half_squares(p, p)).value for p in inducing))
    rows = covariances_with_points(options.covariance, sites, inducing)
    known = variance.clamp(min=SMALLEST_NOISE)
    posterior = None
    if options.variance_points:
        shares = shared_out(list(map(len, inducing)), options.variance_points)
        chosen = torch.cat([torch.arange(n) + at for n, at in zip(shares, _starts(inducing), strict=True)])
        few = sparse(among[chosen][:, chosen], rows[:, chosen], known, values)
        first = [p[:n] for p, n in zip(inducing, shares, strict=True)]
        posterior = Posterior(first, few.prior, few.posterior, torch.tensor([few.signal]))
    if not options.full:
        solved = sparse(among, rows, known, values)
        weights = list(solved.weights.split(list(map(len, inducing))))
        kernels = AtomicKernels(options.covariance, scaled, inducing, weights, None, posterior)
        return Fitted(kernels, found._replace(signal=solved.signal), len(values), len(solved.weights))
    del rows
    matrix = covariances(options.covariance, sites, step)
    whole = exact(matrix, variance, values)
    del matrix
    weights, slopes = _of_atoms(everything, whole.weights)
    kernels = AtomicKernels(options.covariance, scaled, points, weights, slopes, posterior)
    found = found._replace(signal=whole.signal, log_likelihood=whole.log_likelihood)
    return Fitted(kernels, found, len(values), sum(map(len, points)))


def _starts(points: Sequence[Tensor]) -> list[int]:
    """Where the points of each element begin."""
    return list(accumulate(map(len, points), initial=0))[:-1]


def _wide(projections: Sequence[Tensor], options: Options) -> list[Tensor]:
    """The same with as many columns as points have."""
    if not options.covariance.on_sphere:
        return list(projections)
    return [torch.cat([W, W[:, :1]], dim=1) for W in projections]


def _drawn(structures: int, count: int, seed: int) -> list[int]:
    """Some of the structures at random, in their order."""
    drawn: list[int] = np.sort(np.random.default_rng(seed).permutation(structures)[:count]).tolist()
    return drawn


def _hyperparameters(
    families: Callable[[Sequence[int], Sequence[float]], list[Family]],
    structures: Sequence[int],
    elements: int,
    options: Options,
) -> Hyperparameters:
    """Those of the config, or found on these structures."""
    lengths = [options.length] * elements
    some = families(structures, lengths)
    mean = float(torch.cat([f.variance.reshape(-1) for f in some]).mean())
    start = Hyperparameters(lengths, 1e-8 / mean, 1.0)
    if options.hyperparameters == "likelihood":
        return likeliest(options.covariance, some, start)
    if options.hyperparameters == "cross_validation":
        return best_in_folds(options.covariance, some, start)
    if options.signal is not None:
        return start._replace(noise=options.signal**-2, signal=options.signal)
    return start


def _of_atoms(families: Sequence[Family], weights: Float[Tensor, "L"]) -> tuple[list[Tensor], list[Tensor] | None]:
    """What the weights of labels are for each atom: of its point, and along its changes."""
    of_points: list[list[Tensor]] = [[] for _ in families[0].sites.points]
    along: list[list[Tensor]] = [[] for _ in of_points]
    begin = 0
    for family in families:
        mine = weights[begin : begin + family.values.numel()].view(family.values.shape)
        begin += family.values.numel()
        by_energy = mine[:, 0] if family.sites.energy else mine.new_zeros(len(mine))
        by_motion = mine[:, int(family.sites.energy) :]
        for e, changes in enumerate(family.sites.changes):
            count, atoms, _, width = changes.shape
            of_points[e].append(by_energy[:, None].expand(count, atoms).reshape(-1))
            along[e].append(torch.einsum("sk,snkc->snc", by_motion, changes).reshape(-1, width))
    slopes = [torch.cat(parts) for parts in along]
    motions = any(family.sites.changes[0].shape[2] for family in families)
    return [torch.cat(parts) for parts in of_points], slopes if motions else None
