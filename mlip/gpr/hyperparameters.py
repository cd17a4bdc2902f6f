"""Length scales and noise of a Gaussian process, from few of the training structures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mlip.gpr.assembly import covariances
from mlip.gpr.observations import Family
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
    elements = len(families[0].points)
    lengths = torch.tensor([math.log(value) for value in start.lengths], dtype=torch.float64, requires_grad=True)
    noise = torch.tensor(math.log(start.noise), dtype=torch.float64, requires_grad=True)
    free = [noise] if covariance.on_sphere else [lengths, noise]
    optimizer = torch.optim.LBFGS(free, max_iter=STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-4)
    values, variance = _labels(families)
    best: Hyperparameters | None = None

    def loss() -> Tensor:
        nonlocal best
        optimizer.zero_grad()
        scaled = families if covariance.on_sphere else [_scaled(f, lengths, start.lengths) for f in families]
        lower = covariances(covariance, scaled).tril()
        whole = lower + lower.tril(-1).T
        whole = whole + torch.diag(SMALLEST_NOISE + noise.exp() * variance)
        factor, failed = torch.linalg.cholesky_ex(whole)
        if int(failed):
            return 1e6 + 0.0 * (noise + lengths.sum())
        solved = torch.linalg.solve_triangular(factor, values[:, None], upper=False)
        square = solved.square().sum() / len(values)
        negative = 0.5 * len(values) * square.log() + factor.diagonal().log().sum()
        if best is None or best.log_likelihood is None or -float(negative) > best.log_likelihood:
            best = Hyperparameters(
                lengths.detach().exp().tolist(), float(noise.detach().exp()), math.sqrt(float(square)), -float(negative)
            )
        negative.backward()  # type: ignore[no-untyped-call]
        return negative

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    assert len(lengths) == elements
    return best or start


def best_in_folds(covariance: Covariance, families: Sequence[Family], start: Hyperparameters) -> Hyperparameters:
    """The one length of all elements and the noise whose predictions of structures left out are best.

    The structures are left out in two halves. What is compared is the root mean square error of derivatives, or of
    energies where there is nothing else.
    """
    values, variance = _labels(families)
    energies = torch.cat([_of_energy(family) for family in families])
    judged = ~energies if not energies.all() else energies
    half = torch.cat([(torch.arange(len(f.structure)) % FOLDS).repeat_interleave(f.labels) for f in families])
    noises = [noise / float(variance.mean()) for noise in NOISES]
    best = start
    for length in (start.lengths[0],) if covariance.on_sphere else LENGTHS:
        lengths = [length] * len(start.lengths)
        scaled = families
        if not covariance.on_sphere:
            scaled = [_scaled(f, torch.tensor(lengths, dtype=torch.float64).log(), start.lengths) for f in families]
        lower = covariances(covariance, scaled).tril()
        whole = lower + lower.tril(-1).T
        for noise in noises:
            found = [_left_out(whole, SMALLEST_NOISE + noise * variance, values, half == fold) for fold in range(FOLDS)]
            if any(one is None for one in found):
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


def _of_energy(family: Family) -> Tensor:
    """Which labels are energies."""
    mask = torch.zeros(family.values.shape, dtype=torch.bool)
    mask[:, 0] = family.energy
    return mask.reshape(-1)


def _labels(families: Sequence[Family]) -> tuple[Float[Tensor, "L"], Float[Tensor, "L"]]:
    """Values and noise variances of all labels, in the order of their covariances."""
    return (
        torch.cat([family.values.reshape(-1) for family in families]),
        torch.cat([family.variance.reshape(-1) for family in families]),
    )


def _scaled(family: Family, lengths: Tensor, old: Sequence[float]) -> Family:
    """The family with other lengths (their logarithms) than the `old` ones."""
    factors = [old[e] / length.exp() for e, length in enumerate(lengths)]
    return family._replace(
        points=[factor * points for factor, points in zip(factors, family.points, strict=True)],
        changes=[factor * changes for factor, changes in zip(factors, family.changes, strict=True)],
    )
