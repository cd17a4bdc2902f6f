"""mlip select: few structures of any file that differ as much as they can, however they are ordered or turned."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read, write
from interfaces.command import mlip, refused
from interfaces.trained import ALCU, ETHANOL, ethanol
from scipy.spatial.transform import Rotation

from mlip.data.read import read_structures
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.parameters import angular_grid, radial_grid
from mlip.model.scaling import fitted_scaling
from mlip.picking import Sums, featured, pick, points_of_atoms
from mlip.structure import Structure


def structures(count=40, path=ALCU):
    return read_structures(path)[:: 310 // count][:count]


def descriptor(elements=(13, 29)):
    return ACSF(
        elements, [*radial_grid(elements, cutoff=5.0, count=6), *angular_grid(elements, cutoff=4.0, shells=1, angles=2)]
    )


def changed(structure, generator):
    """The same structure with its atoms in another order, turned, moved, and named by other periodic images."""
    order, turn = generator.permutation(len(structure)), Rotation.random(random_state=7).as_matrix()
    positions = structure.positions[order] + generator.integers(-1, 2, (len(order), 3)) @ structure.cell
    cell = structure.cell @ turn.T
    return Structure(structure.numbers[order], positions @ turn.T + 0.3, cell, structure.pbc)


@pytest.mark.parametrize(("method", "of"), [("fps", "structures"), ("fps", "atoms"), ("cur", "structures")])
def test_the_choice_does_not_depend_on_order_and_orientation(method, of):
    these, generator = structures(), np.random.default_rng(0)
    chosen = pick(descriptor(), these, 10, method=method, of=of)
    order = generator.permutation(len(these))
    others = pick(descriptor(), [changed(these[n], generator) for n in order], 10, method=method, of=of)
    assert [int(order[place]) for place in others.structures] == chosen.structures
    if method == "fps":
        np.testing.assert_allclose(others.distances, chosen.distances, rtol=1e-7)
        assert chosen.distances[1:] == sorted(chosen.distances[1:], reverse=True)


def test_features_are_the_same_in_any_batch(monkeypatch):
    these = structures(12)
    whole = Sums(descriptor(), these, lambda done: None, covariance=True)
    monkeypatch.setattr("mlip.picking.ATOMS", 1)
    told = []
    single = Sums(descriptor(), these, told.append, covariance=True)
    assert told == [1] * 12
    np.testing.assert_allclose(single.sums, whole.sums, rtol=1e-12)
    for one, other in zip(single.statistics()[:2], whole.statistics()[:2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_statistics_are_those_of_all_atoms():
    these, acsf = structures(12), descriptor()
    parts = list(featured(acsf, these))
    features, element = (np.concatenate(column) for column in list(zip(*parts, strict=True))[:2])
    scaling = fitted_scaling([torch.from_numpy(features[element == e]) for e in range(2)], "half")
    found = Sums(acsf, these, lambda done: None, covariance=False).statistics()
    np.testing.assert_allclose(found.mean, scaling.shift, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.scale, scaling.scale, rtol=1e-8)
    statistics = Sums(acsf, these, lambda done: None, covariance=True).statistics()
    rows = points_of_atoms(acsf, these, statistics, lambda done: None)
    assert rows.values.shape == (len(features), len(acsf.functions)) and rows.structures == 12


def test_one_odd_atom_is_found_by_atoms():
    large, generator = max(read_structures(ALCU), key=len), np.random.default_rng(1)
    many = []
    for copy in range(10):
        positions = large.positions + generator.normal(scale=0.01, size=large.positions.shape)
        positions[3] += 0.5 * (copy == 7)
        many.append(Structure(large.numbers, positions, large.cell, large.pbc))
    assert 7 in pick(descriptor(), many, 2, of="atoms").structures


def test_far_from_what_is_there_already():
    these = structures()
    old = pick(descriptor(), these, 8)
    found = pick(descriptor(), these, 40, exclude=[these[n] for n in old.structures])
    assert not set(found.structures) & set(old.structures) and len(found.structures) == 32
    more = pick(descriptor(), these, 12)
    assert more.structures[:8] == old.structures and found.structures[:4] == more.structures[8:]
    for method in ("cur", "random"):
        rest = pick(descriptor(), these, 40, method=method, exclude=[these[n] for n in old.structures])
        assert sorted(rest.structures) == sorted(found.structures)
    assert pick(descriptor(), these, 5, exclude=these).structures == []


def test_random_goes_by_the_seed():
    these = structures()
    one, again, other = (pick(descriptor(), these, 9, method="random", seed=seed) for seed in (1, 1, 2))
    assert one.structures == again.structures != other.structures and len(set(one.structures)) == 9


def test_the_command(tmp_path):
    first = mlip("select", ALCU, "-n", 6, "data.index=::10", "--json", "--output", tmp_path / "some.xyz")
    found = json.loads(first.out)
    assert len(found["chosen"]) == 6 and found["structures"] == 31
    assert found["chosen"] == json.loads(mlip("select", ALCU, "-n", 6, "data.index=::10", "--json").out)["chosen"]
    written, whole = read(tmp_path / "some.xyz", ":"), read(ALCU, "::10")
    for atoms, row in zip(written, found["chosen"], strict=True):
        assert np.array_equal(atoms.positions, whole[row["index"]].positions)
        assert atoms.get_potential_energy() == whole[row["index"]].get_potential_energy()
    more = mlip("select", ALCU, "-n", 31, "data.index=::10", "--exclude", tmp_path / "some.xyz", "--quiet")
    assert more.status == 0 and "25 of 31 structures" in more.out and "there are no more" in more.out
    write(tmp_path / "bare.xyz", [Atoms(atoms.numbers, atoms.positions) for atoms in written])
    assert mlip("select", tmp_path / "bare.xyz", "-n", 2, "--quiet").status == 0, "labels are not needed"


def test_with_the_functions_of_a_potential(tmp_path):
    outcome = mlip("select", ETHANOL, "-n", 5, "data.index=:50", "--potential", ethanol(), "--method", "cur", "--json")
    found = json.loads(outcome.out)
    assert found["functions"] == 24 and len(found["chosen"]) == 5
    assert refused(mlip("select", ALCU, "--quiet", "-n", 5, "--potential", ethanol()), "holds Al")


def test_unfit_options(tmp_path):
    assert refused(mlip("select", ALCU, "--quiet", "-n", 0), "-n is 0")
    assert refused(
        mlip("select", ALCU, "--quiet", "-n", 2, "data.index=:4", "--method", "best"), "'best'; known: fps, cur, random"
    )
    assert refused(
        mlip("select", ALCU, "--quiet", "-n", 2, "data.index=:4", "--of", "cells"), "'cells'; known: structures, atoms"
    )
    assert refused(
        mlip("select", ALCU, "--quiet", "-n", 2, "--of", "atoms", "--method", "cur", "data.index=:4"), "cur compares"
    )
    assert refused(mlip("select", ALCU, "--quiet", "-n", 2, "--potential", "a", "--config", "b"), "give one of them")
    assert refused(mlip("select", tmp_path / "no.xyz", "-n", 2), "no such file")
    (tmp_path / "there.xyz").write_text("x")
    assert refused(mlip("select", ALCU, "--quiet", "-n", 2, "--output", tmp_path / "there.xyz"), "exists already")
