"""The laws of physics that every potential obeys, one function each: AssertionError when it does not.

A law takes a `Subject` and what it is tried on. Everything is float64. EXACT is the tolerance where two ways must give
the same number but for rounding, NUMERIC where one side is a finite difference; both are relative to the largest
value, or to 1 eV, Å if that is larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from scipy.spatial.transform import Rotation

from mlip.structure import Structure
from physics.subject import Prediction, Subject

EXACT = 1e-10
NUMERIC = 1e-7
# Central differences of fourth order: points in units of the step (Å, or strain), and their weights.
STEP, POINTS, WEIGHTS = 1e-4, np.array([-2, -1, 1, 2]), np.array([1, -8, 8, -1]) / 12


def same(found: object, expected: object, what: str, tolerance: float = EXACT) -> None:
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    assert (np.isnan(found) == np.isnan(expected)).all(), f"{what}: NaN in different places"
    scale = max(1.0, float(np.nanmax(np.abs(expected), initial=0.0)))
    error = float(np.nanmax(np.abs(found - expected), initial=0.0)) / scale
    assert error <= tolerance, f"{what}: differs by {error:.2e}, allowed {tolerance:.0e}"


def same_prediction(found: Prediction, expected: Prediction, what: str) -> None:
    for name, a, b in zip(Prediction._fields, found, expected, strict=True):
        same(a, b, f"{what}: {name}")


def law_rotation(subject: Subject, structure: Structure) -> None:
    """Energy is invariant, forces and stress turn with the structure."""
    matrix = Rotation.from_rotvec([0.7, -1.9, 1.1]).as_matrix()
    _law_turned(subject, structure, matrix, "rotation")


def law_reflection(subject: Subject, structure: Structure) -> None:
    """A mirror image has the same energy and mirrored forces and stress."""
    normal = np.array([2.0, -1.0, 0.5]) / np.sqrt(5.25)
    _law_turned(subject, structure, np.eye(3) - 2 * np.outer(normal, normal), "reflection")


def _law_turned(subject: Subject, structure: Structure, matrix: np.ndarray, what: str) -> None:
    turned = replace(structure, positions=structure.positions @ matrix.T, cell=structure.cell @ matrix.T)
    before, after = subject.predict([structure])[0], subject.predict([turned])[0]
    expected = before._replace(forces=before.forces @ matrix.T, stress=matrix @ before.stress @ matrix.T)
    same_prediction(after, expected, what)


def law_translation(subject: Subject, structure: Structure) -> None:
    """Moving everything changes nothing."""
    moved = replace(structure, positions=structure.positions + np.array([3.71, -11.3, 0.19]))
    same_prediction(subject.predict([moved])[0], subject.predict([structure])[0], "translation")


def law_permutation(subject: Subject, structure: Structure) -> None:
    """The order of atoms means nothing."""
    order = np.random.default_rng(0).permutation(len(structure))
    assert (order != np.arange(len(order))).any(), "this structure cannot be permuted"
    permuted = replace(structure, numbers=structure.numbers[order], positions=structure.positions[order])
    before, after = subject.predict([structure])[0], subject.predict([permuted])[0]
    expected = before._replace(forces=before.forces[order], atomic_energies=before.atomic_energies[order])
    same_prediction(after, expected, "permutation")


def law_forces(subject: Subject, structure: Structure) -> None:
    """Forces are minus the gradient of the energy, and energies of atoms add up to it."""
    steps = np.zeros((4, len(structure), 3, len(structure), 3))
    for atom, axis in product(range(len(structure)), range(3)):
        steps[:, atom, axis, atom, axis] = STEP * POINTS
    moved = [replace(structure, positions=structure.positions + step) for step in steps.reshape(-1, len(structure), 3)]
    at_rest, *rest = subject.predict([structure, *moved])
    energies = np.reshape([prediction.energy for prediction in rest], (4, len(structure), 3))
    same(at_rest.forces, -np.tensordot(WEIGHTS, energies, 1) / STEP, "forces", NUMERIC)
    same(at_rest.atomic_energies.sum(), at_rest.energy, "sum of atomic energies")


def law_stress(subject: Subject, structure: Structure) -> None:
    """Stress is dE/dstrain / V, positive under tension (ASE's sign), symmetric; NaN without a volume."""
    at_rest = subject.predict([structure])[0]
    if not structure.pbc.all():
        assert np.isnan(at_rest.stress).all(), "stress of a structure without a volume"
        return
    strains = np.zeros((4, 3, 3, 3, 3))
    for row, column in product(range(3), range(3)):
        strains[:, row, column, row, column] = STEP * POINTS
    strained = [
        replace(structure, positions=structure.positions @ deformation, cell=structure.cell @ deformation)
        for deformation in np.eye(3) + strains.reshape(-1, 3, 3)
    ]
    energies = np.reshape([prediction.energy for prediction in subject.predict(strained)], (4, 3, 3))
    volume = abs(np.linalg.det(structure.cell))
    # dE/dstrain itself is compared, in eV: a stress alone is a small number.
    same(at_rest.stress * volume, np.tensordot(WEIGHTS, energies, 1) / STEP, "stress", NUMERIC)
    same(at_rest.stress, at_rest.stress.T, "symmetry of the stress")
    assert np.abs(at_rest.stress * volume).max() > 1e-2, "there is no stress to test"


def law_supercell(subject: Subject, structure: Structure) -> None:
    """Repeating a periodic structure multiplies the energy; forces and stress stay."""
    repeats = np.where(structure.pbc, [2, 1, 3], 1)
    shifts = np.array(list(product(*(range(n) for n in repeats))))
    positions = structure.positions[None] + (shifts @ structure.cell)[:, None]
    large = replace(
        structure,
        numbers=np.tile(structure.numbers, len(shifts)),
        positions=positions.reshape(-1, 3),
        cell=structure.cell * repeats[:, None],
    )
    one = subject.predict([structure])[0]
    expected = Prediction(
        one.energy * len(shifts),
        np.tile(one.forces, (len(shifts), 1)),
        one.stress,
        np.tile(one.atomic_energies, len(shifts)),
    )
    same_prediction(subject.predict([large])[0], expected, "supercell")


def law_short_cell(subject: Subject, structure: Structure) -> None:
    """A cell of any size is the inside of a large cluster: every image within the cutoff counts, an atom's own too."""
    vectors = structure.cell[structure.pbc]
    reach = 2 * subject.cutoff + np.ptp(structure.positions, axis=0).max() + 1.0
    limits = np.ceil(reach * np.linalg.norm(np.linalg.pinv(vectors), axis=0)).astype(int)
    shifts = np.array(list(product(*(range(-n, n + 1) for n in limits)))) @ vectors
    shifts = shifts[np.argsort(np.linalg.norm(shifts, axis=1))]
    images = (structure.positions[None] + shifts[:, None]).reshape(-1, 3)
    numbers = np.tile(structure.numbers, len(shifts))
    distances = np.linalg.norm(images[:, None] - structure.positions[None], axis=2).min(axis=1)
    near = distances < 2 * subject.cutoff
    near[: len(structure)] = True
    cluster = subject.predict([Structure(numbers[near], images[near], origin="cluster")])[0]
    periodic = subject.predict([structure])[0]
    same(periodic.atomic_energies, cluster.atomic_energies[: len(structure)], "atomic energies as in a cluster")
    same(periodic.forces, cluster.forces[: len(structure)], "forces as in a cluster")


def law_lattice_vector(subject: Subject, structure: Structure) -> None:
    """An atom moved by lattice vectors is the same atom."""
    shifts = np.random.default_rng(1).integers(-3, 4, size=(len(structure), 3)) * structure.pbc
    shifts[0, np.argmax(structure.pbc)] = 2
    moved = replace(structure, positions=structure.positions + shifts @ structure.cell)
    same_prediction(subject.predict([moved])[0], subject.predict([structure])[0], "moved by lattice vectors")


def law_newton(subject: Subject, structure: Structure) -> None:
    """Forces sum to zero; without periodicity they have no torque either."""
    forces = subject.predict([structure])[0].forces
    assert np.abs(forces).max() > 1e-3, "there are no forces to sum"
    same(forces.sum(axis=0), np.zeros(3), "net force")
    if not structure.pbc.any():
        same(np.cross(structure.positions, forces).sum(axis=0), np.zeros(3), "net torque")


def law_far_apart(subject: Subject, structure: Structure) -> None:
    """Molecules that are no longer within the cutoff do not see each other; nearer ones do."""
    assert not structure.pbc.any(), "this law is for molecules"
    other = replace(structure, positions=structure.positions[::-1] * [1, -1, 1], numbers=structure.numbers[::-1])
    a, b = subject.predict([structure, other])
    apart = np.ptp(structure.positions[:, 0]) + np.abs(structure.positions[:, 0] - other.positions[:, 0]).max()

    def together(gap: float) -> Prediction:
        moved = other.positions + np.array([structure.positions[:, 0].max() - other.positions[:, 0].min() + gap, 0, 0])
        numbers = np.concatenate([structure.numbers, other.numbers])
        return subject.predict([Structure(numbers, np.vstack([structure.positions, moved]), origin="pair")])[0]

    for gap in (subject.cutoff + 1e-6, 10 * apart):
        pair = together(gap)
        same(pair.energy, a.energy + b.energy, f"energy of molecules {gap:.1f} Å apart")
        same(pair.forces, np.vstack([a.forces, b.forces]), f"forces of molecules {gap:.1f} Å apart")
    assert abs(together(1.5).energy - a.energy - b.energy) > 1e-3, "molecules do not see each other when near"


def law_isolated(subject: Subject, structure: Structure) -> None:
    """A lone atom of each element of the structure has the energy the potential states, and no force."""
    for number in sorted(set(structure.numbers.tolist())):
        atom = Structure(np.array([number]), np.array([[0.4, -0.2, 9.0]]), origin="atom")
        alone = subject.predict([atom])[0]
        same(alone.energy, subject.isolated[number], f"energy of a lone atom {number}")
        assert (alone.forces == 0).all(), f"force on a lone atom {number}"
        if subject.references is not None:
            assert alone.energy == subject.references[number], f"energy of a lone atom {number} is not its reference"


def law_batch(subject: Subject, structures: Sequence[Structure]) -> None:
    """Structures in one batch do not know of each other."""
    singles = [subject.predict([structure])[0] for structure in structures]
    for order in (list(range(len(structures))), list(range(len(structures)))[::-1]):
        for found, number in zip(subject.predict([structures[i] for i in order]), order, strict=True):
            same_prediction(found, singles[number], f"{structures[number].origin} in a batch")
