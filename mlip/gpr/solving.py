"""The linear algebra of Gaussian processes: the exact one, the sparse one, and the factors of its variance."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 1024  # rows
TINY = 1e-300
JITTER = 1e-10  # of the largest variance, added to that of inducing environments, which may nearly repeat each other


class Exact(NamedTuple):
    """The weights of all labels, and what they say of the data."""

    weights: Float[Tensor, "L"]
    signal: float  # eV, the amplitude of the process that the labels are likeliest for
    log_likelihood: float  # with that amplitude


def exact(covariances: Float[Tensor, "L L"], variance: Float[Tensor, "L"], values: Float[Tensor, "L"]) -> Exact:
    r"""Weights :math:`(K + \Lambda)^{-1} y`; K, of which only what is not above the diagonal is read, is overwritten.

    `variance` is that of the noise relative to the signal's. With the amplitude s that maximizes it, the logarithm of
    the marginal likelihood is :math:`-\tfrac n2 (1 + \ln 2\pi s^2) - \tfrac12 \ln |K + \Lambda|`,
    :math:`s^2 = y^T (K + \Lambda)^{-1} y / n`.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eqs. 2.25, 5.8.

    Raises:
        ValueError: the matrix is not positive definite in double precision.
    """
    covariances.diagonal().add_(variance)
    _factorize(covariances)
    found = _solved(covariances, values)
    count = len(values)
    signal = math.sqrt(max(float(values @ found) / count, TINY))
    log_determinant = 2.0 * float(covariances.diagonal().log().sum())
    likelihood = -0.5 * (count * (1.0 + math.log(2.0 * math.pi * signal**2)) + log_determinant)
    return Exact(found, signal, likelihood)


def _factorize(matrix: Float[Tensor, "L L"]) -> None:
    """Replace the lower triangle by its Cholesky factor, block by block where it lies: there is no room for two."""
    for first in range(0, len(matrix), BLOCK):
        last = first + BLOCK
        corner, panel = matrix[first:last, first:last], matrix[last:, first:last]
        factor, failed = torch.linalg.cholesky_ex(corner)
        if int(failed):
            raise _singular()
        corner.copy_(factor)
        panel.copy_(torch.linalg.solve_triangular(factor.T, panel, upper=True, left=False))
        for begin in range(0, len(panel), BLOCK):
            rest = matrix[last + begin :, last + begin : last + begin + BLOCK]
            rest.addmm_(panel[begin:], panel[begin : begin + BLOCK].T, alpha=-1.0)


def _solved(factor: Float[Tensor, "L L"], values: Float[Tensor, "L"]) -> Float[Tensor, "L"]:
    """The solution of a system of equations by the Cholesky factor of its matrix, in blocks as well."""
    found = values.clone()[:, None]
    starts = list(range(0, len(values), BLOCK))
    for first in starts:
        last = first + BLOCK
        corner = factor[first:last, first:last]
        found[first:last] = torch.linalg.solve_triangular(corner, found[first:last], upper=False)
        found[last:] -= factor[last:, first:last] @ found[first:last]
    for first in reversed(starts):
        last = first + BLOCK
        rest = found[first:last] - factor[last:, first:last].T @ found[last:]
        found[first:last] = torch.linalg.solve_triangular(factor[first:last, first:last].T, rest, upper=True)
    return found[:, 0]


class Sparse(NamedTuple):
    """The weights of M inducing environments, and the factors that solved for them."""

    weights: Float[Tensor, "M"]
    prior: Float[Tensor, "M M"]  # L, lower
    posterior: Float[Tensor, "M M"]  # R, upper
    signal: float  # eV


def sparse(
    among: Float[Tensor, "M M"],
    covariances: Float[Tensor, "L M"],
    variance: Float[Tensor, "L"],
    values: Float[Tensor, "L"],
) -> Sparse:
    r"""The weights c that minimize :math:`\lVert \Lambda^{-1/2} (y - K_{NM} c) \rVert^2 + c^T K_{MM} c`.

    Solved by the QR factors of the two squares' factors below each other, which has the digits that normal equations
    lose: :math:`R^T R = K_{MM} + K_{MN} \Lambda^{-1} K_{NM}`, :math:`L L^T = K_{MM}`.

    Source: Foster et al., J. Mach. Learn. Res. 10, 857 (2009), method V; Bartók, Csányi, Int. J. Quantum Chem. 115,
    1051 (2015), section 5.3.

    Raises:
        ValueError: the inducing environments are not different enough.
    """
    labels, points = covariances.shape
    regularized = among + JITTER * float(among.diagonal().max()) * torch.eye(points, dtype=torch.float64)
    prior, failed = torch.linalg.cholesky_ex(regularized)
    if int(failed):
        raise _singular()
    per_noise = variance.rsqrt()
    stacked = covariances.new_zeros(labels + points, points + 1)  # the right side is its last column
    torch.mul(covariances, per_noise[:, None], out=stacked[:labels, :points])
    torch.mul(values, per_noise, out=stacked[:labels, points])
    stacked[labels:, :points] = prior.T
    factor = _triangle(stacked)
    posterior = factor[:points, :points]
    weights = torch.linalg.solve_triangular(posterior, factor[:points, points:], upper=True)[:, 0]
    signal = float(factor[points, points].abs()) / math.sqrt(labels)  # what is left of the right side
    return Sparse(weights, prior, posterior, max(signal, TINY))


def _triangle(matrix: Float[Tensor, "r c"]) -> Float[Tensor, "_ c"]:
    """The upper triangular factor of the QR decomposition."""
    factor: Tensor = torch.linalg.qr(matrix, mode="r").R
    return factor


def _singular() -> ValueError:
    return ValueError(
        "the covariance matrix is singular in double precision: structures repeat each other, or the noise is too "
        "small. Raise model.gpr.noise, or remove structures that are there twice"
    )
