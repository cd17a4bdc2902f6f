"""The whole process: it meets its labels, and its variance is that of the dense formula."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from physics import zoo

from gpr.small import COVARIANCES, everything, known_forces, labelled, moved, partly, seen, together
from mlip.gpr.observations import Noise
from mlip.model import kernels
from mlip.model.assembly import covariances
from mlip.model.evaluate import evaluate
from mlip.model.potential import Calibration
from mlip.model.uncertainty import spread

TINY = Noise(1e-8, 1e-7, 1e-7)
NAMES = ("squared_exponential", "rational_quadratic")
OTHERS = [labelled(moved(zoo.STRUCTURES["molecule"], 50 + n)) for n in range(3)] + [labelled(zoo.STRUCTURES["wire"])]


def difference(found, structures):
    """Largest errors of energies, forces, and stress where there are labels."""
    forces = np.concatenate([known_forces(structure) for structure in structures])
    errors = {"energy": [float(e) - s.energy for e, s in zip(found.energy, structures, strict=True) if s.energy]}
    errors["forces"] = (found.forces.numpy() - forces)[np.isfinite(forces)]
    errors["stress"] = [
        f.numpy() - s.stress for f, s in zip(found.stress, structures, strict=True) if s.stress is not None
    ]
    return {name: float(np.abs(values).max()) if len(values) else 0.0 for name, values in errors.items()}


@pytest.mark.parametrize("name", NAMES)
def test_with_little_noise_it_interpolates(name):
    """Weights, slopes, forces and stress all together: every label of every kind of structure is met."""
    structures = everything()
    potential = seen(structures).potential(covariance=COVARIANCES[name], noise=TINY)
    found = difference(evaluate(potential, together(structures)), structures)
    assert max(found.values()) < 1e-5, found


@pytest.mark.parametrize("kind", ["energy", "forces", "stress"])
def test_one_kind_of_label(kind):
    kinds = ("energy", "forces", "stress")
    structures = [replace(s, **{other: None for other in kinds if other != kind}, info={}) for s in everything()[:14]]
    structures = [s for s in structures if getattr(s, kind) is not None]
    potential = seen(structures).potential(noise=TINY)
    assert (potential.atomic.slopes is None) == (kind == "energy")
    found = difference(evaluate(potential, together(structures)), structures)
    assert found[kind] < 1e-5 and sum(value > 0 for value in found.values()) == 1


def test_pieces_of_a_prediction_change_nothing(monkeypatch):
    structures = everything()
    potential, batch = seen(structures).potential(), together(OTHERS)
    wanted = evaluate(potential, batch)
    monkeypatch.setattr(kernels, "ENTRIES", 60)
    found = evaluate(potential, batch)
    torch.testing.assert_close(found.forces, wanted.forces, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("name", COVARIANCES)
def test_sparse_with_all_atoms_is_full(name):
    """Of energies only: their covariances are sums of those of atoms."""
    structures = [replace(s, forces=None, stress=None, info={}) for s in everything()[:13]]
    of = seen(structures)
    options = {"covariance": COVARIANCES[name], "noise": Noise(1e-2, 1.0, 1.0)}
    sparse = of.potential(full=False, points=1000, **options)
    full = of.potential(**options)
    one, other = (evaluate(potential, together(OTHERS)) for potential in (sparse, full))
    torch.testing.assert_close(one.energy, other.energy, rtol=0, atol=1e-5)
    torch.testing.assert_close(one.forces, other.forces, rtol=0, atol=1e-4)


def test_sparse_nears_full_with_more_points():
    structures = [labelled(moved(zoo.STRUCTURES["molecule"], n)) for n in range(8)]
    of = seen(structures)
    errors = []
    for points in (6, 24, 48):
        found = evaluate(of.potential(full=False, points=points), together(structures))
        errors.append(difference(found, structures)["forces"])
    assert errors[0] > errors[1] > errors[2]


@pytest.fixture(scope="module")
def energies_only():
    return seen([replace(s, forces=None, stress=None, info={}) for s in everything()[:13]])


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", COVARIANCES)
def test_the_variance_is_that_of_the_dense_process(name, full, energies_only):
    """With all atoms as inducing environments, of energies and of each component of forces; factors multiply it."""
    covariance, noise = COVARIANCES[name], Noise(1e-2, 1.0, 1.0)
    of = energies_only
    potential = of.potential(covariance=covariance, full=full, points=1000, variance_points=1000, noise=noise)
    both = seen([*everything()[:13], *OTHERS])._replace(scaling=of.scaling, features=of.features)
    families = both.families(covariance, noise=noise)
    matrix = covariances(covariance, [family.sites for family in families]).tril()
    matrix = matrix + matrix.tril(-1).T
    owner = torch.cat([torch.from_numpy(f.structure).repeat_interleave(f.sites.labels) for f in families])
    first = torch.cat([(torch.arange(f.sites.labels) == 0).repeat(len(f.structure)) for f in families])
    train = ((owner < 13) & first).nonzero().flatten()
    values = torch.cat([f.values.reshape(-1) for f in families])[train]
    variance = torch.cat([f.variance.reshape(-1) for f in families])[train]
    whole = matrix[train][:, train] + torch.diag(variance)
    signal = float(values @ torch.linalg.solve(whole, values)) / len(train)
    test = ((owner >= 13) & first).nonzero().flatten()
    across = matrix[test][:, train]
    wanted = signal * (matrix[test][:, test] - across @ torch.linalg.solve(whole, across.T)).diagonal()
    order = owner[test].argsort()
    found = spread(potential, together(OTHERS))
    torch.testing.assert_close(found.energy.square(), wanted[order], rtol=1e-5, atol=1e-6 * signal)
    mine = (owner == 13).nonzero().flatten()[1:]  # a molecule, along its inner motions
    across = matrix[mine][:, train]
    total = signal * (matrix[mine][:, mine] - across @ torch.linalg.solve(whole, across.T)).trace()
    torch.testing.assert_close(found.forces[:6].square().sum(), total, rtol=1e-5, atol=1e-5)
    potential.calibration = Calibration(2.0, 3.0)
    again = spread(potential, together(OTHERS))
    for one, other, factor in zip(again, found, (2.0, 3.0, 2.0), strict=True):
        torch.testing.assert_close(one, factor * other)


def test_the_variance_is_small_where_labels_are_and_the_prior_far_away(energies_only):
    potential = energies_only.potential(variance_points=1000, noise=Noise(1e-6, 1.0, 1.0))
    there = spread(potential, together([zoo.STRUCTURES["molecule"]])).energy
    assert there < 1e-3 * spread(potential, together(OTHERS[:1])).energy
    narrow = energies_only.potential(variance_points=1000, length=0.02)
    found, signal = spread(narrow, together(OTHERS[:1])), narrow.atomic.posterior.signal
    torch.testing.assert_close(found.atomic_energies, signal.expand(6), rtol=1e-7, atol=0)
    torch.testing.assert_close(found.energy, np.sqrt(6) * signal, rtol=1e-7, atol=0)


def test_rotations_leave_the_variance():
    structures = everything()
    potential = seen(structures).potential(variance_points=30)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    turned = [replace(s, positions=s.positions @ turn, cell=s.cell @ turn) for s in OTHERS]
    one, other = (spread(potential, together(these)) for these in (OTHERS, turned))
    torch.testing.assert_close(one.energy, other.energy, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(one.atomic_energies, other.atomic_energies, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(one.forces.norm(dim=1), other.forces.norm(dim=1), rtol=1e-6, atol=1e-8)
    alone = [spread(potential, together([s])) for s in OTHERS]
    torch.testing.assert_close(torch.cat([found.energy for found in alone]), one.energy, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(torch.cat([found.forces for found in alone]), one.forces, rtol=1e-9, atol=1e-10)


def test_without_variance():
    potential = seen([*everything()[:3], partly(everything()[0])]).potential(variance_points=0)
    assert not potential.deviates
    with pytest.raises(ValueError, match="variance_points"):
        spread(potential, together(OTHERS))


def test_fewer_coordinates():
    structures = everything()
    of = seen(structures)
    few = of.fit(coordinates=3).kernels
    assert [table.shape[1] for table in few.projections] == [3, 3, 3]
    x = of.scaling(of.features[1], torch.ones(len(of.features[1]), dtype=torch.long))
    distances = torch.pdist(x)
    points = torch.pdist(of.fit(length=1.0).kernels.coordinates.points(x, 1))
    torch.testing.assert_close(points / points[0], distances / distances[0], rtol=1e-9, atol=1e-9)
    squares = torch.cdist(x, x).square() / (torch.cdist(x, x)[0, 1] / points[0]) ** 2
    assert float(squares.mean()) == pytest.approx(1.0), "the unit is the root mean square distance"
    hydrogens = sum(int((s.numbers == 1).sum()) for s in structures[:-1])
    assert len(of.fit().kernels.points[0]) == hydrogens, "of structures with labels"
