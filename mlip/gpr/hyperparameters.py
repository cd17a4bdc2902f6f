"""Length scales and noise of a Gaussian process, from few of the training structures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mlip.gpr.observations import Family
from mlip.model.assembly import Sites, covariances
from mlip.model.covariance import Covariance

LENGTHS = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0)  # tried by cross-validation, in the units of `Hyperparameters`
FOLDS = 2
STEPS = 25
NOISES = (1e-9, 1e-7, 1e-5, 1e-3)  # variances of a typical label relative to the signal's
SMALLEST_NOISE = 1e-10  # the same; below it rounding decides


class Hyperparameters(NamedTuple):
    """Lengths are in units of the root mean square distance of training atoms of the element."""

    lengths: Sequence[float]
    noise: float  # what the variances of labels are multiplied with to be relative to the signal's
    signal: float  # eV
    log_likelihood: float | None = None
    error: float | None = None  # of the derivatives in cross-validation, eV/Å


def likeliest(covariance: Covariance, families: Sequence[Family], start: Hyperparameters) -> Hyperparameters:
    r"""The lengths and the noise with the largest marginal likelihood, by L-BFGS with its gradient.

    .. math:: \ln p(y) = -\tfrac n2 \ln\left( y^T A^{-1} y \right) - \tfrac12 \ln |A| + \text{const}, \qquad
              A = K + \lambda \Lambda

    with the best amplitude of the signal. Points on a sphere have no length; of these only the noise is found.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eq. 5.9.
    """
    lengths = torch.tensor([math.log(value) for value in start.lengths], dtype=torch.float64, requires_grad=True)
    noise = torch.tensor(math.log(start.noise), dtype=torch.float64, requires_grad=True)
    free = [noise] if covariance.on_sphere else [lengths, noise]
    optimizer = torch.optim.LBFGS(free, max_iter=STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-4)
    values, variance = _labels(families)
    best: Hyperparameters | None = None

    def loss() -> Tensor:
        nonlocal best
        optimizer.zero_grad()
        whole = _whole(covariance, [_scaled(family, lengths, start.lengths) for family in families])
        factor, failed = torch.linalg.cholesky_ex(whole + torch.diag(SMALLEST_NOISE + noise.exp() * variance))
        if int(failed):
            return 1e6 + 0.0 * (noise + lengths.sum())
        solved = torch.linalg.solve_triangular(factor, values[:, None], upper=False)
        square = solved.square().sum() / len(values)
        negative = 0.5 * len(values) * square.log() + factor.diagonal().log().sum()
        negative.backward()
        found = -negative.item()
        if best is None or best.log_likelihood is None or found > best.log_likelihood:
            now = lengths.detach().exp().tolist()
            best = Hyperparameters(now, noise.exp().item(), math.sqrt(square.item()), found)
        return negative

    optimizer.step(loss)
    return best or start


def best_in_folds(covariance: Covariance, families: Sequence[Family], start: Hyperparameters) -> Hyperparameters:
    """The one length of all elements and the noise whose predictions of structures left out are best.

    The structures are left out in two halves. What is compared is the root mean square error of derivatives, or of
    energies where there is nothing else.
    """
    values, variance = _labels(families)
    energies = torch.cat([_of_energy(family) for family in families])
    judged = ~energies if not energies.all() else energies
    half = torch.cat([(torch.arange(len(f.structure)) % FOLDS).repeat_interleave(f.values.shape[1]) for f in families])
    noises = [noise / float(variance.mean()) for noise in NOISES]
    best = start
    for length in (start.lengths[0],) if covariance.on_sphere else LENGTHS:
        lengths = [length] * len(start.lengths)
        whole = _whole(covariance, [_scaled(f, torch.tensor(lengths).double().log(), start.lengths) for f in families])
        for noise in noises:
            left = [_left_out(whole, SMALLEST_NOISE + noise * variance, values, half == fold) for fold in range(FOLDS)]
            found = [one for one in left if one is not None]
            if len(found) < FOLDS:
                continue
            wrong = torch.cat(
                [(predicted - values[half == n])[judged[half == n]] for n, (predicted, _) in enumerate(found)]
            )
            error = float(wrong.square().mean().sqrt())
            if best.error is None or error < best.error:
                signal = math.sqrt(sum(square for _, square in found) / FOLDS)
                best = Hyperparameters(lengths, noise, signal, None, error)
    return best


def _left_out(whole: Tensor, variance: Tensor, values: Tensor, out: Tensor) -> tuple[Tensor, float] | None:
    """Predictions of the labels left out by the others, and the signal's variance; None if that has no digits."""
    kept = ~out
    matrix = whole[kept][:, kept] + torch.diag(variance[kept])
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed):
        return None
    weights = torch.cholesky_solve(values[kept][:, None], factor)[:, 0]
    return whole[out][:, kept] @ weights, float(values[kept] @ weights) / int(kept.sum())


def _whole(covariance: Covariance, sites: Sequence[Sites]) -> Float[Tensor, "L L"]:
    """Both triangles of the covariances of all labels."""
    lower = covariances(covariance, sites).tril()
    return lower + lower.tril(-1).T


def _of_energy(family: Family) -> Tensor:
    """Which labels are energies."""
    mask = torch.zeros(family.values.shape, dtype=torch.bool)
    mask[:, 0] = family.sites.energy
    return mask.reshape(-1)


def _labels(families: Sequence[Family]) -> tuple[Float[Tensor, "L"], Float[Tensor, "L"]]:
    """Values and noise variances of all labels, in the order of their covariances."""
    return (
        torch.cat([family.values.reshape(-1) for family in families]),
        torch.cat([family.variance.reshape(-1) for family in families]),
    )


def _scaled(family: Family, lengths: Tensor, old: Sequence[float]) -> Sites:
    """The sites of a family with other lengths (their logarithms) than the `old` ones."""
    factors = [old[e] / length.exp() for e, length in enumerate(lengths)]
    points, changes, energy = family.sites
    return Sites(
        [factor * table for factor, table in zip(factors, points, strict=True)],
        [factor * table for factor, table in zip(factors, changes, strict=True)],
        energy,
    )
