"""Covariances of labels against automatic differentiation of sums of kernels over atoms."""

import numpy as np
import pytest
import torch
from physics import zoo

from gpr.small import COVARIANCES, REFERENCES, TEACHER, cartesian, everything, known_forces, labelled, moved, seen
from mlip.batch import pair_vectors, to_batch
from mlip.gpr import observations
from mlip.model import assembly
from mlip.model.assembly import covariances, covariances_with_points
from mlip.model.coordinates import VOIGT, on_sphere

EACH = pytest.mark.parametrize("name", COVARIANCES)


def kernel(name, u, v):
    """Formulas of their own, without half squares."""
    if name == "polynomial":
        u, v = (torch.cat([x, torch.ones_like(x[:, :1])], dim=1) for x in (u, v))
        return ((u @ v.T) / (u.norm(dim=1)[:, None] * v.norm(dim=1))) ** 3
    square = (u[:, None] - v[None]).square().sum(dim=2)
    return torch.exp(-square / 2) if name == "squared_exponential" else (1 + square / 2 / 1.7) ** -1.7


class Atoms:
    """A structure whose points depend on 3n positions and six strains, by the reference descriptor."""

    def __init__(self, structure, of, projections):
        self.batch = to_batch(structure, TEACHER.cutoff)[0]
        self.variables = torch.zeros(3 * len(structure) + 6, dtype=torch.float64, requires_grad=True)
        shifts, strains = self.variables[:-6].view(-1, 3), self.variables[-6:]
        strain = torch.eye(3, dtype=torch.float64)
        for value, (a, b) in zip(strains, VOIGT, strict=True):
            unit = torch.zeros(3, 3, dtype=torch.float64)
            unit[a, b] += 0.5
            unit[b, a] += 0.5
            strain = strain + value * unit
        center, neighbor = self.batch.pairs
        vectors = (pair_vectors(self.batch) + shifts[neighbor] - shifts[center]) @ strain
        element = TEACHER.descriptor.index_of_number[self.batch.numbers]
        x = of.scaling(TEACHER.descriptor(self.batch.numbers, self.batch.pairs, vectors), element)
        self.points = [x[element == e] @ W for e, W in enumerate(projections)]


def labels_of(structure, column):
    """Which of energy, 3n positions and six strains are labels."""
    known = [structure.energy is not None, *np.isfinite(known_forces(structure)).ravel().tolist()]
    known += [structure.stress is not None] * 6
    return column[torch.tensor(known)]


def with_derivatives(value, variables):
    """A number and its derivatives, differentiable again."""
    slope = torch.autograd.grad(value, variables, create_graph=True, allow_unused=True)[0]
    return torch.cat([value.reshape(1), torch.zeros_like(variables) if slope is None else slope])


def both(name, one, other, structures):
    """Covariances of two structures' labels."""
    value = sum(kernel(name, u, v).sum() for u, v in zip(one.points, other.points, strict=True))
    rows = []
    for entry in with_derivatives(value + 0 * one.variables.sum(), one.variables):
        rows.append(with_derivatives(entry + 0 * other.variables.sum(), other.variables).detach())
    return labels_of(structures[0], labels_of(structures[1], torch.stack(rows).T).T)


def in_order(families, structures):
    return [structures[n] for family in families for n in family.structure]


def lower(matrix):
    return matrix.tril()


@pytest.fixture
def each_component(monkeypatch):
    monkeypatch.setattr(observations, "_frames", cartesian)


@EACH
def test_against_automatic_differentiation(name, each_component):
    structures = everything()
    of = seen(structures)
    chosen = [structures[n] for n in (0, 1, 2, 4, 8, 9, 14)] + structures[-3:]
    small = seen(chosen)._replace(scaling=of.scaling, features=of.features)
    families = small.families(COVARIANCES[name])
    projections = of.coordinates(COVARIANCES[name]).projections
    ordered = in_order(families, chosen)
    atoms = [Atoms(structure, of, projections) for structure in ordered]
    twins = [Atoms(structure, of, projections) for structure in ordered]  # of the same structure with itself
    wanted = torch.cat(
        [
            torch.cat([both(name, a, b, (s, t)) for b, t in zip(twins, ordered, strict=True)], dim=1)
            for a, s in zip(atoms, ordered, strict=True)
        ]
    )
    found = covariances(COVARIANCES[name], [family.sites for family in families])
    assert found.shape == wanted.shape and len(found) > 100
    torch.testing.assert_close(lower(found), lower(wanted), rtol=1e-10, atol=1e-10)
    assert torch.linalg.eigvalsh(found, UPLO="L").min() > -1e-10 * found.diagonal().max()


@EACH
def test_with_points_against_automatic_differentiation(name, each_component):
    structures = everything()
    of = seen(structures)
    families = of.families(COVARIANCES[name])
    projections = of.coordinates(COVARIANCES[name]).projections
    raw = [torch.randn(count, W.shape[1], dtype=torch.float64) for count, W in zip((3, 0, 4), projections, strict=True)]
    coordinates = of.coordinates(COVARIANCES[name])
    points = [on_sphere(u) if coordinates.covariance.on_sphere else u for u in raw]
    found = covariances_with_points(COVARIANCES[name], [family.sites for family in families], points)
    rows = []
    for structure in in_order(families, structures):
        atoms = Atoms(structure, of, projections)
        columns = [kernel(name, u, m).sum(dim=0) for u, m in zip(atoms.points, raw, strict=True)]
        table = [with_derivatives(v + 0 * atoms.variables.sum(), atoms.variables).detach() for v in torch.cat(columns)]
        rows.append(labels_of(structure, torch.stack(table, dim=1)))
    torch.testing.assert_close(found, torch.cat(rows), rtol=1e-10, atol=1e-11)


def alike(count=11):
    return [labelled(moved(zoo.STRUCTURES["molecule"], seed)) for seed in range(count)]


@pytest.mark.parametrize("columns", [1, 3, 100])
def test_columns_and_threads_change_nothing(columns, monkeypatch):
    covariance = COVARIANCES["rational_quadratic"]
    sites = [family.sites for family in seen([*alike(), *everything()]).families(covariance)]
    wanted = covariances(covariance, sites)
    monkeypatch.setattr(assembly, "COLUMNS", columns)
    torch.set_num_threads(2)
    try:
        told = []
        found = covariances(covariance, sites, told.append)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    torch.testing.assert_close(lower(found), lower(wanted), rtol=1e-12, atol=1e-12)
    assert sum(told) == sum(family.structures for family in sites), "every structure is told of once"


def test_parts_of_families_change_nothing(monkeypatch):
    """Structures of a family are made and compared in parts, and their order is that of the labels."""
    covariance, structures = COVARIANCES["squared_exponential"], alike()
    of = seen(structures)
    whole = of.families(covariance)
    monkeypatch.setattr(observations, "PAIRS_AT_ONCE", 100)
    parts = of.families(covariance)
    assert [f.structure.tolist() for f in parts] == [f.structure.tolist() for f in whole] == [list(range(11))]
    torch.testing.assert_close(parts[0].values, whole[0].values)
    points = [torch.randn(4, W.shape[1], dtype=torch.float64) for W in of.coordinates(covariance).projections]
    wanted = covariances_with_points(covariance, [whole[0].sites], points)
    monkeypatch.setattr(assembly, "ENTRIES", 100)
    found = covariances_with_points(covariance, [parts[0].sites], points)
    torch.testing.assert_close(found[::21], wanted[::21], rtol=1e-11, atol=1e-11)  # energies; motions are other ones
    energies = [structure.energy for structure in structures]
    bare = torch.tensor(energies, dtype=torch.float64) - torch.tensor([2.0, 2.0, 2.0], dtype=torch.float64) @ REFERENCES
    torch.testing.assert_close(whole[0].values[:, 0], bare)
