"""What atoms do in time: unwrapped ways, displacements, diffusion and vibrations of motions that are known."""

import numpy as np
import pytest
from ase.geometry import wrap_positions
from scipy.integrate import trapezoid

from mlip.analysis.correlation import autocorrelation, summed_square_displacement
from mlip.analysis.displacement import displacement
from mlip.analysis.history import History, Unwrapping
from mlip.analysis.vibrations import parzen, vibrations

TRICLINIC = np.array([[7.0, 0.3, 0.1], [-1.1, 6.4, 0.2], [0.4, 0.9, 8.2]])
WIDE = 100 * np.eye(3)
PERIODIC, OPEN = np.ones(3, dtype=bool), np.zeros(3, dtype=bool)


def history_of(positions, folder, *, cell=WIDE, pbc=OPEN, velocities=None, keep_drift=True, masses=None):
    atoms = positions.shape[1]
    found = History(np.ones(atoms) if masses is None else masses, np.arange(atoms), folder, keep_drift=keep_drift)
    for n, frame in enumerate(positions):
        found.add(frame, cell, pbc, None if velocities is None else velocities[n])
    return found


def walk(generator, frames, atoms, size):
    return np.cumsum(generator.normal(scale=size, size=(frames, atoms, 3)), axis=0)


def test_unwrapping_finds_the_way_back():
    """A walk through many cells, folded into one, is the walk again."""
    generator = np.random.default_rng(1)
    straight = walk(generator, 400, 5, 0.6)
    unwrap = Unwrapping()
    found = np.array([unwrap(wrap_positions(frame, TRICLINIC), TRICLINIC, PERIODIC) for frame in straight])
    np.testing.assert_allclose(found - found[0], straight - straight[0], atol=1e-10)
    assert np.abs(straight @ np.linalg.inv(TRICLINIC)).max() > 2, "it leaves the cell"
    assert 0 < unwrap.longest < 0.5


@pytest.mark.parametrize("periodic", [(True, True, False), (False, True, False), (False, False, False)])
def test_open_directions_are_left_alone(periodic):
    pbc = np.array(periodic)
    cell = np.where(pbc[:, None], TRICLINIC, 0.0)
    straight = walk(np.random.default_rng(2), 200, 4, 0.5)
    folded = [wrap_positions(frame, cell + np.diag(~pbc), pbc=pbc) for frame in straight]
    unwrap = Unwrapping()
    found = np.array([unwrap(frame, cell, pbc) for frame in folded])
    np.testing.assert_allclose(found - found[0], straight - straight[0], atol=1e-10)


def test_a_cell_that_breathes_moves_no_atom():
    """Atoms fixed in the cell do not diffuse, wherever the cell's origin is and however its size fluctuates."""
    generator = np.random.default_rng(3)
    fractional = generator.random((6, 3)) * 5 - 2
    unwrap = Unwrapping()
    start = unwrap(fractional @ TRICLINIC, TRICLINIC, PERIODIC)
    for _ in range(50):
        cell = TRICLINIC @ (np.eye(3) + generator.normal(scale=0.02, size=(3, 3)))
        found = unwrap(fractional @ cell, cell, PERIODIC)
    ways = found - start
    np.testing.assert_allclose(ways, 0, atol=1e-10)


def brute_force(positions, lags):
    """Squared displacements, every pair of times one after the other."""
    result = np.zeros(lags)
    for lag in range(lags):
        ways = [((positions[t + lag] - positions[t]) ** 2).sum() for t in range(len(positions) - lag)]
        result[lag] = np.mean(ways)
    return result


@pytest.mark.parametrize("frames", [2, 3, 17, 64])
def test_displacements_by_fourier_transform(frames):
    positions = walk(np.random.default_rng(4), frames, 3, 1.0) + 50.0
    lags = frames
    found = summed_square_displacement(positions, lags)
    np.testing.assert_allclose(found, brute_force(positions, lags), rtol=1e-10, atol=1e-10)


def test_autocorrelation_by_fourier_transform():
    values = np.random.default_rng(5).normal(size=(23, 4))
    expected = [sum((values[t] * values[t + m]).sum() for t in range(23 - m)) for m in range(23)]
    np.testing.assert_allclose(autocorrelation(values, 23), expected, rtol=1e-12, atol=1e-12)


def test_a_random_walk_diffuses_as_it_must(tmp_path):
    """D = s² / (2 dt) for steps of variance s² along each axis, within four standard errors, which are not large."""
    size, step, atoms = 0.3, 0.02, 40
    positions = walk(np.random.default_rng(6), 2000, atoms, size)
    history = history_of(positions, tmp_path)
    found = displacement(history, np.arange(atoms), step, blocks=4, fit=(0.1, 1.0)).diffusion
    history.close()
    expected = size**2 / (2 * step)
    assert found.error < 0.1 * expected
    assert abs(found.coefficient - expected) < 4 * found.error
    assert found.exponent == pytest.approx(1, abs=0.15)


def test_the_error_is_that_of_many_walks(tmp_path):
    """Blocks estimate the spread that runs with other random numbers have, within a factor of two."""
    coefficients, errors = [], []
    for seed in range(30):
        history = history_of(walk(np.random.default_rng(seed), 400, 5, 0.3), tmp_path)
        found = displacement(history, np.arange(5), 0.02, blocks=4, fit=(0.1, 0.5)).diffusion
        history.close()
        coefficients.append(found.coefficient)
        errors.append(found.error)
    assert 0.5 < np.sqrt(np.mean(np.square(errors))) / np.std(coefficients, ddof=1) < 2


def test_free_flight(tmp_path):
    """|v|² t² exactly, which is not diffusion."""
    velocities = np.array([[0.3, -0.1, 0.2], [0.0, 0.5, -0.4], [-0.2, 0.1, 0.3]])
    times = 0.1 * np.arange(80)
    history = history_of(times[:, None, None] * velocities, tmp_path)
    found = displacement(history, np.arange(3), 0.1, blocks=4)
    history.close()
    np.testing.assert_allclose(found.msd, (velocities**2).sum(axis=1).mean() * found.lags**2, rtol=1e-9, atol=1e-9)
    assert found.diffusion.exponent == pytest.approx(2, abs=1e-6)


def test_the_motion_of_all_atoms_is_taken_out(tmp_path):
    """By the center of mass, so a lighter atom still moves against a heavier one."""
    masses = np.array([1.0, 3.0])
    positions = np.zeros((40, 2, 3))
    positions[:, :, 0] = 0.5 * np.arange(40)[:, None]
    positions[:, :, 1] = np.sin(np.arange(40))[:, None] * [3.0, -1.0]
    history = history_of(positions, tmp_path, keep_drift=False, masses=masses)
    ((_, found),) = history.chunks("positions", np.arange(2))
    history.close()
    np.testing.assert_allclose(found[:, :, 0], 0, atol=1e-12)
    np.testing.assert_allclose(found[:, 0, 1], 3 * np.sin(np.arange(40)), atol=1e-12)


def test_chunks_of_atoms_change_nothing(tmp_path, monkeypatch):
    history = history_of(walk(np.random.default_rng(7), 50, 9, 1.0), tmp_path)
    whole = displacement(history, np.arange(1, 9), 0.1, blocks=2)
    monkeypatch.setattr("mlip.analysis.history.CHUNK", 50 * 3 * 2)
    assert len(list(history.chunks("positions", np.arange(1, 9)))) == 4
    pieces = displacement(history, np.arange(1, 9), 0.1, blocks=2)
    history.close()
    np.testing.assert_allclose(pieces.msd, whole.msd, rtol=1e-12)


def oscillators(frequencies, frames, step):
    """Atoms that swing along x with the phases of equal angles; positions and velocities in Å/fs."""
    phase = 2 * np.pi * np.outer(step * np.arange(frames), frequencies) + 0.4
    positions, velocities = np.zeros((2, frames, len(frequencies), 3))
    positions[:, :, 0] = np.cos(phase)
    velocities[:, :, 0] = -2 * np.pi * np.array(frequencies) * np.sin(phase) * 1e-3
    return positions, velocities


@pytest.mark.parametrize("from_file", [True, False])
@pytest.mark.parametrize("frequency", [3.3, 11.7, 31.0])
def test_an_oscillator_rings_at_its_frequency(tmp_path, frequency, from_file):
    step = 0.005
    positions, velocities = oscillators([frequency], 2000, step)
    history = history_of(positions, tmp_path, velocities=velocities if from_file else None)
    found = vibrations(history, {"H": np.arange(1)}, np.ones(1), step, 400)["H"]
    history.close()
    assert history.has_velocities == from_file
    peak = found.frequencies[found.spectrum.argmax()]
    assert peak == pytest.approx(frequency, abs=found.frequencies[1])
    assert trapezoid(found.spectrum, found.frequencies) == pytest.approx(1)
    np.testing.assert_allclose(found.autocorrelation, np.cos(2 * np.pi * frequency * found.lags), atol=0.02)


def test_two_oscillators_share_the_spectrum_by_their_kinetic_energy(tmp_path):
    """Masses m and 4 m, frequencies f and 2 f, equal amplitudes: kinetic energies 1 : 16."""
    step = 0.004
    positions, velocities = oscillators([8.0, 16.0], 3000, step)
    history = history_of(positions, tmp_path, velocities=velocities)
    found = vibrations(history, {"H": np.array([0]), "He": np.array([1])}, np.array([1.0, 4.0]), step, 500)
    history.close()
    assert list(found) == ["H", "He", "all"]
    low = found["all"].frequencies < 12
    parts = [trapezoid(np.where(part, found["all"].spectrum, 0), found["all"].frequencies) for part in (low, ~low)]
    assert parts[1] / parts[0] == pytest.approx(16, rel=0.01)


def test_differences_and_velocities_give_one_spectrum(tmp_path):
    """What differences of positions take away at high frequencies is given back."""
    step = 0.01
    positions, velocities = oscillators([5.0, 20.0, 40.0], 4000, step)
    spectra = []
    for given in (velocities, None):
        history = history_of(positions, tmp_path, velocities=given)
        groups = {"H": np.arange(3)}
        spectra.append(vibrations(history, groups, np.ones(3), step, 500)["H"])
        history.close()
    one, other = spectra
    assert np.abs(one.spectrum - other.spectrum).max() < 0.02 * one.spectrum.max()


def test_the_window_makes_nothing_negative():
    even = np.concatenate([parzen(40), np.zeros(121), parzen(40)[:0:-1]])
    assert np.fft.rfft(even).real.min() > -1e-12
