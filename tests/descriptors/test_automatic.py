"""Symmetry functions chosen from structures of all kinds."""

from collections import Counter

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from mlip.batch import collate, pair_vectors, to_batch
from mlip.data.options import ReadOptions
from mlip.data.read import read_structures
from mlip.descriptors import automatic
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.automatic import candidates, chosen_functions, lengths_of, sample
from mlip.descriptors.functions import Radial
from mlip.structure import Structure


def structures_of(*frames, noise=0.1, copies=6):
    generator = np.random.default_rng(3)
    made = []
    for n in range(copies):
        for atoms in frames:
            moved = atoms.positions + noise * generator.normal(size=atoms.positions.shape)
            made.append(Structure(atoms.numbers, moved, atoms.cell.array, atoms.pbc, origin=f"made#{n}"))
    return made


def elements_of(structures):
    return sorted({int(z) for s in structures for z in s.numbers})


def choose(structures, **options):
    return chosen_functions(structures, elements_of(structures), **{"budget": 60, **options})


def alloy():
    """Five elements at random on a lattice."""
    atoms = bulk("Ni", cubic=True) * (3, 2, 2)
    atoms.numbers = np.random.default_rng(0).choice([24, 25, 26, 27, 28], size=len(atoms))
    return atoms


def lengths(*frames, **options):
    structures = structures_of(*frames, **options)
    return lengths_of(sample(structures, elements_of(structures), 1))


def test_a_molecule_gets_the_usual_cutoffs(bundled):
    structures = read_structures(bundled / "ethanol_xtb.npz", ReadOptions(index=":200"))
    found = lengths_of(sample(structures, [1, 6, 8], 1))
    assert (found.radial, found.angular) == (6.0, 5.0)
    shortest = min(neighbor_list("d", Atoms(s.numbers, s.positions), 2.0).min() for s in structures)
    assert 0.7 * shortest < found.start < shortest


@pytest.mark.parametrize(("scale", "grown"), [(0.4, False), (1.0, False), (2.2, True)])
def test_cutoffs_follow_the_density(scale, grown):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.set_cell(atoms.cell * scale, scale_atoms=True)
    found = lengths(atoms, noise=0.05 * scale)
    nearest = neighbor_list("d", atoms, 1.1 * scale * 2.56).min()
    assert (found.radial > 6) == (found.angular > 5) == grown
    assert found.radial >= 1.9 * nearest and found.angular >= 1.6 * nearest > found.start
    for cutoff, most in ((found.radial, 100), (found.angular, 40)):
        assert neighbor_list("i", atoms, cutoff).size / len(atoms) <= 1.2 * most


def test_a_cutoff_that_is_given_is_taken():
    structures = structures_of(bulk("Cu", cubic=True))
    assert {f.cutoff for f in choose(structures, cutoff=4.2)} == {4.2}
    assert max(f.cutoff for f in choose(structures, cutoff=7.5, cutoff_function="tanh")) == 7.5
    assert {f.cutoff_function for f in choose(structures, cutoff_function="tanh")} == {"tanh"}
    assert {f.inner_cutoff for f in choose(structures, inner_cutoff=1.1)} == {1.1}


@pytest.mark.parametrize("pruning", ["farthest", "cur"])
@pytest.mark.parametrize("budget", [60, 150])
def test_five_elements_keep_the_budget(budget, pruning):
    functions = choose(structures_of(alloy(), copies=3), budget=budget, pruning=pruning)
    assert len(functions) == budget == len(set(functions))
    radial = Counter(f.neighbors for f in functions if isinstance(f, Radial))
    angular = Counter(f.neighbors for f in functions if not isinstance(f, Radial))
    assert set(radial) == {(z,) for z in (24, 25, 26, 27, 28)}
    assert {z for pair in angular for z in pair} == {24, 25, 26, 27, 28}


@pytest.mark.parametrize(
    "frames",
    [
        [Atoms("HF", [[0, 0, 0], [0, 0, 0.92]])],
        [Atoms("Ar2", [[0, 0, 0], [0, 0, 9.0]])],
        [Atoms("H2O", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]), Atoms("O"), Atoms("H"), Atoms("He")],
        [bulk("Mg"), bulk("MgO", "rocksalt", 4.21)],
        [bulk("W")],
    ],
    ids=["dimer", "far dimer", "isolated atoms", "metal and oxide", "one atom"],
)
@pytest.mark.parametrize("copies", [1, 2, 5])
def test_small_data(frames, copies):
    functions = choose(structures_of(*frames, copies=copies))
    assert 0 < len(functions) <= 60
    ACSF(elements_of(structures_of(*frames)), functions)


def test_atoms_without_neighbors_are_refused():
    with pytest.raises(ValueError, match=r"two atoms within 24\.0 Å.*data\.units\.length"):
        choose(structures_of(Atoms("Ne"), Atoms("Ar")))
    with pytest.raises(ValueError, match=r"cutoffs of 0\.5 and 0\.5 Å.*larger cutoff"):
        choose(structures_of(Atoms("HF", [[0, 0, 0], [0, 0, 0.92]])), cutoff=0.5)


def test_the_choice_is_the_same_for_the_same_seed(monkeypatch):
    monkeypatch.setattr(automatic, "CENTERS", 60)
    monkeypatch.setattr(automatic, "OF_AN_ELEMENT", 5)
    structures = structures_of(alloy(), noise=0.3)
    assert choose(structures, seed=4) == choose(structures, seed=4)
    assert choose(structures, seed=4) != choose(structures, seed=5)


def test_rare_elements_are_in_the_sample(monkeypatch):
    monkeypatch.setattr(automatic, "CENTERS", 50)
    monkeypatch.setattr(automatic, "FEWEST", 0)
    structures = structures_of(bulk("Cu", cubic=True), copies=60)
    structures.insert(37, structures_of(bulk("Au", cubic=True), copies=1)[0])
    taken = sample(structures, [29, 79], 1)
    numbers = np.concatenate([s.numbers for s in taken.structures])[taken.centers]
    assert (numbers == 79).sum() == 4 and (numbers == 29).sum() >= 25
    assert len(taken.structures) < 40


def test_few_structures_are_filled_with_distorted_ones(monkeypatch):
    structures = structures_of(bulk("W"), noise=0.0, copies=2)
    taken = sample(structures, [74], 1)
    assert len(taken.structures) == 2 + 2 * 250
    assert all(0 < np.abs(s.cell - structures[0].cell).max() < 0.3 for s in taken.structures[2:])
    assert all(s.energy is None for s in taken.structures[2:])
    monkeypatch.setattr(automatic, "FEWEST", 2)
    assert len(sample(structures, [74], 1).structures) == 4
    monkeypatch.setattr(automatic, "FEWEST", 1)
    assert len(sample(structures, [74], 1).structures) == 2


def test_features_of_the_sample_are_those_of_the_descriptor(monkeypatch):
    monkeypatch.setattr(automatic, "CENTERS", 30)
    monkeypatch.setattr(automatic, "OF_AN_ELEMENT", 3)
    structures = structures_of(alloy(), Atoms("Cr"))
    elements = elements_of(structures)
    taken = sample(structures, elements, 1)
    functions = candidates(elements, lengths_of(taken), 60)
    found = automatic._features(taken, elements, functions)
    batch = collate([to_batch(s, 6.0)[0] for s in taken.structures])
    expected = ACSF(elements, functions)(batch.numbers, batch.pairs, pair_vectors(batch))[
        torch.from_numpy(taken.centers)
    ]
    numbers = batch.numbers[torch.from_numpy(taken.centers)]
    for z, values in zip(elements, found, strict=True):
        assert values == pytest.approx(expected[numbers == z].numpy(), abs=1e-12)
