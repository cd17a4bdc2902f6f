"""Length scales and noise: the likelihood's formula and maximum, and processes that are found again."""

import math

import numpy as np
import pytest
import torch
from physics import zoo

from gpr.small import COVARIANCES, everything, labelled, moved, seen
from mlip.gpr import hyperparameters
from mlip.gpr.hyperparameters import Hyperparameters, best_in_folds, likeliest
from mlip.gpr.observations import Noise

SQUARED = COVARIANCES["squared_exponential"]
NOISE = Noise(1e-2, 3e-2, 1e-2)


def whole(covariance, families, lengths, start):
    logarithms = torch.tensor(lengths, dtype=torch.float64).log()
    return hyperparameters._whole(covariance, [hyperparameters._scaled(f, logarithms, start) for f in families])


def likelihood(covariance, families, start, lengths, noise):
    """Of the values with the best amplitude, but for constants, by numpy."""
    matrix = whole(covariance, families, lengths, start)
    values, variance = hyperparameters._labels(families)
    matrix = matrix + torch.diag(hyperparameters.SMALLEST_NOISE + noise * variance)
    square = float(values @ torch.linalg.solve(matrix, values)) / len(values)
    return -0.5 * len(values) * math.log(square) - 0.5 * np.linalg.slogdet(matrix.numpy())[1], math.sqrt(square)


def drawn(lengths, noise, signal, structures, length=2.0):
    """Families whose values are a sample of the process with these lengths."""
    families = seen(structures).families(SQUARED, length, NOISE)
    matrix = whole(SQUARED, families, lengths, [length] * 3)
    variance = hyperparameters._labels(families)[1]
    factor = torch.linalg.cholesky(matrix + torch.diag(1e-10 + noise * variance))
    sample = signal * (factor @ torch.randn(len(factor), dtype=torch.float64))
    parts = sample.split([family.values.numel() for family in families])
    return [f._replace(values=part.view(f.values.shape)) for f, part in zip(families, parts, strict=True)]


@pytest.fixture(scope="module")
def molecules():
    return [labelled(moved(zoo.STRUCTURES["molecule"], seed, 0.2)) for seed in range(12)]


@pytest.mark.parametrize("covariance", COVARIANCES.values(), ids=COVARIANCES)
def test_the_maximum_of_the_likelihood(covariance, molecules):
    families = seen(molecules).families(covariance, 2.0, NOISE)
    start = Hyperparameters([2.0] * 3, 1.0, 1.0)
    found = likeliest(covariance, families, start)
    value, signal = likelihood(covariance, families, start.lengths, found.lengths, found.noise)
    assert found.log_likelihood == pytest.approx(value, rel=1e-9) and found.signal == pytest.approx(signal, rel=1e-8)
    assert value >= likelihood(covariance, families, start.lengths, start.lengths, start.noise)[0]
    assert covariance.on_sphere == (found.lengths == pytest.approx(start.lengths, abs=1e-12))
    others = [(list(found.lengths), factor * found.noise) for factor in (0.6, 1.6)]
    for e in range(0 if covariance.on_sphere else 3):
        for factor in (0.8, 1.25):
            lengths = list(found.lengths)
            lengths[e] *= factor
            others.append((lengths, found.noise))
    for lengths, noise in others:
        assert likelihood(covariance, families, start.lengths, lengths, noise)[0] < value, (lengths, noise)


def test_a_process_is_found_again(molecules):
    lengths, noise, signal = [1.3, 2.4, 1.8], 30.0, 0.7
    families = drawn(lengths, noise, signal, molecules)
    found = likeliest(SQUARED, families, Hyperparameters([2.0] * 3, 1.0, 1.0))
    assert found.log_likelihood > likelihood(SQUARED, families, [2.0] * 3, lengths, noise)[0], "the likeliest of all"
    np.testing.assert_allclose(np.log(found.lengths), np.log(lengths), atol=math.log(1.35))
    assert found.noise * found.signal**2 == pytest.approx(noise * signal**2, rel=0.5)
    assert found.signal == pytest.approx(signal, rel=0.5)


@pytest.mark.parametrize("length", [1.5, 4.0])
def test_cross_validation_finds_a_length(length, molecules):
    families = drawn([length] * 3, 1e-6, 1.0, molecules)
    found = best_in_folds(SQUARED, families, Hyperparameters([2.0] * 3, 1.0, 1.0))
    assert len(set(found.lengths)) == 1 and length / 1.6 < found.lengths[0] < 1.6 * length
    assert found.error > 0 and found.signal == pytest.approx(1.0, rel=0.9)


def test_predictions_of_what_is_left_out(molecules):
    matrix = whole(SQUARED, seen(molecules).families(SQUARED, 2.0, NOISE), [2.0] * 3, [2.0] * 3)
    values, variance = torch.randn(len(matrix)).double(), 0.1 * torch.ones(len(matrix)).double()
    out = torch.arange(len(matrix)) % 3 == 0
    predicted, square = hyperparameters._left_out(matrix, variance, values, out)
    kept = (matrix + torch.diag(variance))[~out][:, ~out]
    weights = torch.linalg.solve(kept, values[~out])
    torch.testing.assert_close(predicted, matrix[out][:, ~out] @ weights, rtol=1e-8, atol=1e-8)
    assert square == pytest.approx(float(values[~out] @ weights) / int((~out).sum()), rel=1e-8)
    assert hyperparameters._left_out(-matrix, variance, values, out) is None


@pytest.mark.parametrize("method", ["likelihood", "cross_validation", "given"])
@pytest.mark.parametrize("full", [True, False])
def test_every_way_to_them(method, full):
    of = seen(everything())
    found = of.fit(hyperparameters=method, structures=8, full=full, signal=0.5)
    told = found.results()
    assert len(told["lengths"]) == 3 and min(told["lengths"]) > 0 and told["signal"] > 0
    assert (told["log_likelihood"] is not None) == (full or method == "likelihood")
    if method == "given":
        assert told["lengths"] == [2.0] * 3 and told["noise"] == 4.0
    assert of.fit(hyperparameters=method, structures=8, full=full, signal=0.5).results() == told, "the same again"
