"""What is known of structures: families, inner motions, labels less the energies of atoms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from physics import zoo

from gpr.small import COVARIANCES, REFERENCES, STRAIGHT, cartesian, everything, labelled, moved, seen, together
from mlip.gpr import observations
from mlip.gpr.observations import Noise, size_of
from mlip.model.evaluate import evaluate

SQUARED = COVARIANCES["squared_exponential"]


def test_every_label_has_its_place():
    structures = everything()
    of = seen(structures)
    noise = Noise(0.2, 0.3, 0.5)
    families = of.families(SQUARED, noise=noise)
    used = np.concatenate([family.structure for family in families])
    assert sorted(used) == list(range(len(structures) - 1)), "all but the one without any label"
    for family in families:
        assert family.values.shape == family.variance.shape == (len(family.structure), family.sites.labels)
        for row, n in enumerate(family.structure):
            s = structures[n]
            counts = torch.tensor([int((s.numbers == z).sum()) for z in zoo.ELEMENTS]).double()
            assert [points.shape[1] for points in family.sites.points] == counts.tolist()
            assert family.sites.energy == (s.energy is not None)
            if s.energy is not None:
                assert float(family.values[row, 0]) == pytest.approx(s.energy - float(counts @ REFERENCES), abs=1e-11)
                assert float(family.variance[row, 0]) == pytest.approx(len(s) * 0.04)
            if s.stress is not None:
                volume = abs(np.linalg.det(s.cell))
                voigt = s.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
                np.testing.assert_allclose(family.values[row, -6:], volume * voigt, rtol=1e-11)
                np.testing.assert_allclose(family.variance[row, -6:], (0.5 * volume) ** 2, rtol=1e-11)
            middle = family.variance[row, int(family.sites.energy) : -6 if s.stress is not None else None]
            assert torch.equal(middle, torch.full_like(middle, 0.3**2))


@pytest.mark.parametrize(
    ("structure", "motions"),
    [
        (zoo.STRUCTURES["molecule"], 12),
        (STRAIGHT, 4),
        (zoo.LONE_ATOM, 0),
        (zoo.STRUCTURES["triclinic"], 12),
        (zoo.STRUCTURES["one-atom"], 0),
    ],
    ids=lambda value: getattr(value, "origin", ""),
)
def test_inner_motions(structure, motions):
    """Orthonormal, without what changes nothing, and with the whole length of the forces."""
    known = replace(labelled(structure), energy=None, stress=None)
    given = torch.ones(3 * len(structure), dtype=torch.bool)
    frames = observations._frames(together([structure]), given, 1)[0]
    assert frames.shape == (3 * len(structure), motions)
    torch.testing.assert_close(frames.T @ frames, torch.eye(motions, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    forces = torch.from_numpy(known.forces).reshape(-1)
    torch.testing.assert_close(frames @ (frames.T @ forces), forces, rtol=1e-10, atol=1e-11)


def test_bent_and_straight_molecules_of_one_composition(monkeypatch):
    """They have other numbers of motions, in one part or in parts of their own; all are interpolated."""
    bent = [labelled(moved(STRAIGHT, seed, 0.2)) for seed in range(3)]
    structures = [*bent, labelled(STRAIGHT)]
    for pairs_at_once, widths in ((20_000, [4]), (18, [3, 4])):
        monkeypatch.setattr(observations, "PAIRS_AT_ONCE", pairs_at_once)
        of = seen(structures)
        found = of.families(SQUARED)
        assert sorted(family.sites.labels - 1 for family in found) == widths
        potential = of.potential(noise=Noise(1e-8, 1e-7, 1e-7))
        forces = evaluate(potential, together(structures)).forces
        np.testing.assert_allclose(forces, np.concatenate([s.forces for s in structures]), atol=1e-6)


@pytest.mark.parametrize("covariance", COVARIANCES.values(), ids=COVARIANCES)
def test_a_fit_to_inner_motions_is_that_to_all_components(covariance, monkeypatch):
    """What is left out is zero for every potential, so that only the amplitude of the signal counts it."""
    structures = everything()
    others = together([labelled(moved(zoo.STRUCTURES[name], 77)) for name in ("molecule", "triclinic", "slab")])
    of = seen(structures)
    inner = evaluate(of.potential(covariance=covariance, noise=Noise(1e-3, 1e-2, 1e-3)), others)
    sparse = evaluate(of.potential(covariance=covariance, full=False, noise=Noise(1e-3, 1e-2, 1e-3)), others)
    monkeypatch.setattr(observations, "_frames", cartesian)
    whole = evaluate(of.potential(covariance=covariance, noise=Noise(1e-3, 1e-2, 1e-3)), others)
    as_sparse = evaluate(of.potential(covariance=covariance, full=False, noise=Noise(1e-3, 1e-2, 1e-3)), others)
    for one, other in ((inner, whole), (sparse, as_sparse)):
        torch.testing.assert_close(one.energy, other.energy, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(one.forces, other.forces, rtol=1e-7, atol=1e-7)
        torch.testing.assert_close(one.stress, other.stress, rtol=1e-7, atol=1e-7, equal_nan=True)


def test_size():
    structures = everything()[:-1]
    of = seen(structures)
    size, families = size_of(of.examples, of.descriptor), of.families(SQUARED)
    labels = sum(family.values.numel() for family in families)
    assert labels <= size.labels <= 1.35 * labels, "at most"
    assert (size.structures, size.atoms) == (len(structures), sum(map(len, structures)))
    assert size.coordinates == len(of.descriptor.functions)
