"""Radial distribution functions: crystals have their shells, an ideal gas has none, and nothing is lost in the sums."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.lattice.cubic import BodyCenteredCubic

from mlip.analysis import distances
from mlip.analysis.distances import PairDistances, first_shell


def counted(frames, cutoff=8.0, width=0.05):
    pairs = PairDistances(cutoff, width)
    for atoms in frames:
        pairs.add(atoms.numbers, atoms.positions, atoms.cell.array, np.asarray(atoms.pbc))
    return pairs


def box_of(numbers, edge, generator, shear=0.0):
    cell = edge * np.eye(3)
    cell[1, 0] = shear * edge
    return Atoms(numbers, generator.random((len(numbers), 3)) @ cell, cell=cell, pbc=True)


def brute_force(frames, cutoff, width, images=2):
    """g(r) of all ordered pairs by trying every pair and image, one after the other."""
    bins = round(cutoff / width)
    counts, weights = {}, {}
    for atoms in frames:
        for a in sorted(set(atoms.numbers.tolist())):
            for b in sorted(set(atoms.numbers.tolist())):
                n = (atoms.numbers == a).sum() * (atoms.numbers == b).sum() / atoms.get_volume()
                weights[a, b] = weights.get((a, b), 0) + n
                counts.setdefault((a, b), np.zeros(bins))
        steps = range(-images, images + 1)
        for i in range(len(atoms)):
            for j in range(len(atoms)):
                for shift in ((x, y, z) for x in steps for y in steps for z in steps):
                    if i == j and shift == (0, 0, 0):
                        continue
                    d = np.linalg.norm(atoms.positions[j] - atoms.positions[i] + shift @ atoms.cell.array)
                    if d < cutoff:
                        counts[atoms.numbers[i], atoms.numbers[j]][int(d / width)] += 1
    edges = width * np.arange(bins + 1)
    return {pair: counts[pair] / (weights[pair] * 4 / 3 * np.pi * np.diff(edges**3)) for pair in counts}


def test_brute_force_finds_the_same():
    """Frames of different composition and cells, sheared and shorter than the cutoff."""
    generator = np.random.default_rng(1)
    frames = [
        box_of([13] * 3 + [29] * 4, 4.1, generator, 0.2),
        box_of([13] * 5 + [29] * 2, 4.6, generator, -0.1),
    ]
    found = counted(frames, 5.0, 0.25).curves()
    expected = brute_force(frames, 5.0, 0.25)
    assert list(found) == ["Al-Al", "Al-Cu", "Cu-Cu"]
    for name, pair in {"Al-Al": (13, 13), "Al-Cu": (13, 29), "Cu-Cu": (29, 29)}.items():
        assert expected[pair].max() > 0.5
        np.testing.assert_allclose(found[name].g, expected[pair], rtol=1e-12)


def test_unlike_pairs_are_counted_the_same_from_both_sides():
    frames = [box_of([13] * 9 + [29] * 4, 7.0, np.random.default_rng(2))]
    curve = counted(frames, 4.0, 4.0 / 64).curves()["Al-Cu"]
    assert curve.reverse == pytest.approx(9 / 4)
    assert curve.coordination[-1] * 9 == pytest.approx(curve.coordination[-1] * curve.reverse * 4)


def test_an_ideal_gas_has_no_structure():
    """g = 1 for unlike atoms, 1 - 1/N for like ones, within the noise of the counts; no shell is found."""
    generator = np.random.default_rng(3)
    frames = [box_of([10] * 40 + [18] * 60, 15.0, generator) for _ in range(200)]
    curves = counted(frames, 7.0, 0.25).curves()
    for name, expected in {"Ne-Ne": 1 - 1 / 40, "Ne-Ar": 1.0, "Ar-Ar": 1 - 1 / 60}.items():
        curve = curves[name]
        noise = expected / np.sqrt(np.maximum(curve.counts, 1))
        far = curve.counts > 50
        assert far.sum() > 20
        deviations = (curve.g - expected)[far] / noise[far]
        assert np.abs(deviations).max() < 4.5 and abs(deviations.mean()) < 4.5 / np.sqrt(far.sum())
        assert first_shell(curve) is None


def test_the_integral_counts_every_atom():
    """rho times the integral over a sphere that holds all of a cluster in a large cell is N - 1 and N_b."""
    generator = np.random.default_rng(4)
    atoms = Atoms([13] * 6 + [29] * 5, generator.normal(size=(11, 3)), cell=40 * np.eye(3), pbc=True)
    pairs = counted([atoms], 19.0, 0.01).curves()
    for name, each, density in (("Al-Al", 5, 6), ("Al-Cu", 5, 5), ("Cu-Cu", 4, 5)):
        curve = pairs[name]
        edges = np.append(curve.r - 0.005, 19.0)
        integral = density / 40**3 * (curve.g * 4 / 3 * np.pi * np.diff(edges**3)).sum()
        assert integral == pytest.approx(each, rel=1e-9)
        assert curve.coordination[-1] == pytest.approx(each)


CRYSTALS = {
    "fcc": (bulk("Cu", "fcc", a=3.6), 12, 3.6 / np.sqrt(2)),
    "diamond": (bulk("Si", "diamond", a=5.43), 4, 5.43 * np.sqrt(3) / 4),
    "hcp": (bulk("Mg", "hcp", a=3.2, c=3.2 * np.sqrt(8 / 3)), 12, 3.2),
    "rocksalt": (bulk("NaCl", "rocksalt", a=5.6), 6, 2.8),
    "bcc": (BodyCenteredCubic("Fe", latticeconstant=2.87), 8, 2.87 * np.sqrt(3) / 2),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_coordination_of_crystals_is_exact(name):
    atoms, neighbors, distance = CRYSTALS[name]
    curves = counted([atoms.repeat(3)], 6.0, 0.02).curves()
    shell = first_shell(curves["Na-Cl" if name == "rocksalt" else f"{atoms[0].symbol}-{atoms[0].symbol}"])
    assert shell.coordination == neighbors
    assert shell.reverse == neighbors
    assert shell.peak == pytest.approx(distance, abs=0.011)
    assert shell.peak < shell.minimum


@pytest.mark.parametrize(("name", "neighbors"), [("fcc", 12), ("diamond", 4)])
def test_coordination_survives_heat(name, neighbors):
    atoms = CRYSTALS[name][0].repeat(4)
    generator, frames = np.random.default_rng(5), []
    for _ in range(10):
        moved = atoms.copy()
        moved.positions += generator.normal(scale=0.1, size=(len(atoms), 3))
        frames.append(moved)
    (curve,) = counted(frames, 5.0).curves().values()
    assert first_shell(curve).coordination == pytest.approx(neighbors, abs=0.02)


@pytest.mark.parametrize("width", [0.02, 0.05, 0.2])
def test_no_shell_is_found_in_noise(width):
    """Neither in many counts nor in few, with bins of any width."""
    for seed in range(12):
        generator = np.random.default_rng(seed)
        frames = [box_of([10] * 30, 12.0, generator) for _ in range(1 + seed)]
        assert first_shell(counted(frames, 6.0, width).curves()["Ne-Ne"]) is None


def test_the_way_of_counting_changes_nothing(monkeypatch):
    """Few centers at a time for little memory, or all at once."""
    frames = [box_of([13] * 60 + [29] * 41, 11.0, np.random.default_rng(6), 0.1)]
    at_once = counted(frames, 6.0).curves()
    monkeypatch.setattr(distances, "PAIRS_AT_ONCE", 500)
    for name, curve in counted(frames, 6.0).curves().items():
        np.testing.assert_array_equal(curve.counts, at_once[name].counts)
        assert curve.counts.sum() > 100


def test_without_a_volume_neighbors_per_length_are_counted():
    atoms = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    pairs = counted([atoms] * 40, 3.0, 0.05)
    assert not pairs.volumetric
    curve = pairs.curves()["H-O"]
    assert (curve.g * 0.05).sum() == pytest.approx(1), "an H has one O"
    assert first_shell(curve).reverse == pytest.approx(2)


@pytest.mark.parametrize(
    ("cutoff", "width", "words"),
    [(0.0, 0.1, "--cutoff is 0.0"), (np.nan, 0.1, "--cutoff"), (5.0, -1.0, "--bin is -1.0"), (5.0, 20.0, "0 bins")],
)
def test_mistakes_are_named(cutoff, width, words):
    with pytest.raises(ValueError, match=words):
        PairDistances(cutoff, width)
