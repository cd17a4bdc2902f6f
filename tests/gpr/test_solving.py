"""The linear algebra against dense formulas, scipy's likelihood, and arithmetic with 60 digits."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from mlip.gpr import solving
from mlip.gpr.solving import exact, sparse


def problem(labels=50, points=8, width=3, noise=1e-3):
    """Kernels between random points, some of which are inducing; labels are those of a smooth function."""
    x = torch.rand(labels, width, dtype=torch.float64)
    m = torch.rand(points, width, dtype=torch.float64)
    value = [torch.exp(-2.0 * torch.cdist(a, b) ** 2) for a, b in ((x, x), (x, m), (m, m))]
    variance = noise * (0.5 + torch.rand(labels, dtype=torch.float64))
    return *value, variance, torch.sin(3.0 * x).sum(dim=1)


@pytest.mark.parametrize("block", [7, 25, 49, 50, 51, 1000])
def test_exact(block, monkeypatch):
    monkeypatch.setattr(solving, "BLOCK", block)
    among, _, _, variance, values = problem()
    whole = among + torch.diag(variance)
    found = exact(among.tril() + 1e3 * torch.ones_like(among).triu(1), variance, values)
    wanted = torch.linalg.solve(whole, values)
    torch.testing.assert_close(found.weights, wanted, rtol=1e-9, atol=1e-9)
    assert found.signal == pytest.approx(math.sqrt(float(values @ wanted) / 50), rel=1e-10)
    covariance = found.signal**2 * whole.numpy()
    wanted = multivariate_normal(np.zeros(50), covariance).logpdf(values.numpy())
    assert found.log_likelihood == pytest.approx(float(wanted), rel=1e-9)
    for factor in (0.98, 1.02):  # of all amplitudes it is the likeliest
        other = multivariate_normal(np.zeros(50), factor * covariance).logpdf(values.numpy())
        assert other < found.log_likelihood


def as_matrix(tensor):
    return mpmath.matrix(tensor.tolist() if tensor.ndim == 2 else [[value] for value in tensor.tolist()])


@pytest.mark.parametrize("noise, tolerance", [(1e-2, 1e-9), (1e-10, 1e-4)])
def test_sparse_against_many_digits(noise, tolerance):
    """With little noise normal equations in double precision have no digits left, and this has."""
    _, rows, among, variance, values = problem(labels=30, points=10, width=1 if noise < 1e-5 else 3, noise=noise)
    found = sparse(among, rows.clone(), variance, values)
    with mpmath.workdps(60):
        k, kmm, y = as_matrix(rows), as_matrix(among), as_matrix(values)
        for n in range(len(among)):
            kmm[n, n] += solving.JITTER * float(among.diagonal().max())
        inverse = mpmath.diag([1 / mpmath.mpf(v) for v in variance.tolist()])
        whole = kmm + k.T * inverse * k
        weights = mpmath.lu_solve(whole, k.T * inverse * y)
        predicted = np.array([float(value) for value in k * weights])
        rest = y - k * weights
        misfit = float((rest.T * inverse * rest)[0] + (weights.T * kmm * weights)[0])
    np.testing.assert_allclose((rows @ found.weights).numpy(), predicted, rtol=0, atol=tolerance)
    assert found.signal == pytest.approx(math.sqrt(misfit / len(values)), rel=max(tolerance, 1e-7))
    if noise < 1e-5:
        weighed = rows / variance[:, None]
        normal = torch.linalg.solve(among + rows.T @ weighed, weighed.T @ values)
        assert (rows @ normal - torch.from_numpy(predicted)).abs().max() > 10 * (
            rows @ found.weights - torch.from_numpy(predicted)
        ).abs().max()


def test_factors_of_the_variance():
    _, rows, among, variance, values = problem()
    found = sparse(among.clone(), rows.clone(), variance, values)
    regularized = among + solving.JITTER * torch.eye(len(among), dtype=torch.float64)
    torch.testing.assert_close(found.prior @ found.prior.T, regularized, rtol=1e-12, atol=1e-12)
    assert torch.equal(found.posterior, found.posterior.triu())
    whole = regularized + rows.T @ (rows / variance[:, None])
    torch.testing.assert_close(found.posterior.T @ found.posterior, whole, rtol=1e-10, atol=1e-10)


def test_what_has_no_solution():
    among, rows, _, variance, values = problem()
    twice = torch.cat([among, among[:1]])
    twice = torch.cat([twice, twice[:, :1]], dim=1)
    none = torch.zeros(len(twice), dtype=torch.float64)
    none[0] = -1.0
    with pytest.raises(ValueError, match="singular in double precision"):
        exact(twice, none, torch.cat([values, values[:1]]))
    with pytest.raises(ValueError, match="singular in double precision"):
        sparse(-torch.eye(8, dtype=torch.float64), rows, variance, values)
