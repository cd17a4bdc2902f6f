"""How points of atoms change along motions of atoms and strains, against finite differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from physics import zoo

from gpr.small import COVARIANCES, TEACHER, everything, seen, together
from mlip.batch import pair_vectors
from mlip.descriptors.backends import fastest
from mlip.model.coordinates import VOIGT, from_sphere, on_sphere, onto_sphere

STEP = 1e-4
CHOSEN = [zoo.STRUCTURES["molecule"], zoo.LONE_ATOM, zoo.STRUCTURES["triclinic"], zoo.STRUCTURES["slab"]]


def environments(coordinates, scaling, structures, **options):
    batch = together(structures)
    vectors = pair_vectors(batch)
    backend = fastest(TEACHER.descriptor, vectors.device)
    element = TEACHER.descriptor.index_of_number[batch.numbers]
    return coordinates.environments(scaling, backend, batch, vectors, element, **options)


def shifted(structure, atom, axis, by):
    if atom >= len(structure):
        return structure
    positions = structure.positions.copy()
    positions[atom, axis] += by
    return replace(structure, positions=positions)


def strained(structure, a, b, by):
    strain = np.eye(3)
    strain[a, b] += 0.5 * by
    strain[b, a] += 0.5 * by
    return replace(structure, positions=structure.positions @ strain, cell=structure.cell @ strain)


@pytest.mark.parametrize("covariance", COVARIANCES.values(), ids=COVARIANCES)
def test_changes(covariance):
    of = seen(everything())
    coordinates = of.coordinates(covariance)

    def points(change, by):
        found = environments(coordinates, of.scaling, [change(s, by) for s in CHOSEN], motions=False)
        assert all(part.changes.shape[1] == 0 for part in found)
        return [part.points for part in found]

    atoms = max(map(len, CHOSEN))
    changes = [lambda s, by, n=n, k=k: shifted(s, n, k, by) for n in range(atoms) for k in range(3)]
    changes += [lambda s, by, a=a, b=b: strained(s, a, b, by) for a, b in VOIGT]
    found = environments(coordinates, of.scaling, CHOSEN, strain=True)
    for place, change in enumerate(changes):
        near, far = ([points(change, k * STEP) for k in (n, -n)] for n in (1, 2))
        for e, part in enumerate(found):
            slope, wide = ((up[e] - down[e]) / (2 * n * STEP) for n, (up, down) in ((1, near), (2, far)))
            torch.testing.assert_close(part.changes[:, place], (4 * slope - wide) / 3, rtol=1e-7, atol=1e-8)
    assert max(float(part.changes.abs().max()) for part in found) > 0.1


def test_some_of_the_atoms():
    of = seen(everything())
    part = environments(of.coordinates(COVARIANCES["polynomial"]), of.scaling, CHOSEN)[1]
    chosen = torch.arange(len(part.atom)) % 2 == 0
    some = part.rows(chosen)
    assert torch.equal(some.points, part.points[chosen]) and len(some.changes) == len(some.atom) == int(chosen.sum())


def test_gradients_on_the_sphere_go_with_changes():
    u = torch.randn(5, 4, dtype=torch.float64)
    along = torch.randn(5, 3, 4, dtype=torch.float64)
    gradient, points = torch.randn(5, 5, dtype=torch.float64), on_sphere(u)
    there = torch.einsum("nkc,nc->nk", onto_sphere(along, points), gradient)
    torch.testing.assert_close(there, torch.einsum("nkc,nc->nk", along, from_sphere(gradient, points)))
