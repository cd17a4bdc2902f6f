"""A committee predicts the mean of its members, and its spread is their standard deviation."""

import numpy as np
import pytest
import torch
from physics import zoo
from physics.laws import same

from mlip.batch import collate, to_batch
from mlip.interfaces.calculator import MLIPCalculator
from mlip.model.checkpoint import fingerprint, load_potential, potential_content, save_potential
from mlip.model.committee import committee_of, member_of
from mlip.model.evaluate import evaluate
from mlip.model.fused import FusedPotential
from mlip.model.potential import Calibration
from mlip.model.uncertainty import spread

FIELDS = ("energy", "forces", "stress", "atomic_energies")


def committee():
    return zoo.POTENTIALS["committee"]()


def mixed(potential):
    return collate([to_batch(structure, potential.cutoff)[0] for structure in zoo.MIXED])


def of_members(potential, batch):
    """Predictions of each member alone, stacked."""
    found = [evaluate(member_of(potential, m), batch) for m in range(potential.members)]
    return {name: torch.stack([getattr(each, name).detach() for each in found]).double().numpy() for name in FIELDS}


@pytest.mark.parametrize("train", [False, True])
def test_mean_of_the_members(train):
    potential = committee()
    batch = mixed(potential)
    expected, found = of_members(potential, batch), evaluate(potential, batch, train=train)
    for name in FIELDS:
        same(getattr(found, name).detach(), expected[name].mean(axis=0), name, 1e-12)
    assert np.abs(expected["forces"] - expected["forces"].mean(axis=0)).max() > 1e-2, "members differ"


@pytest.mark.parametrize("name", ["mixed cutoffs", "per center"])
def test_equal_members_are_the_single_potential(name):
    single = zoo.POTENTIALS[name]()
    equal = committee_of([single] * 3)
    assert equal.members == 3
    batch = mixed(single)
    expected, found = evaluate(single, batch), evaluate(equal, batch)
    for field in FIELDS:
        same(getattr(found, field), getattr(expected, field), field, 1e-12)
    same(equal.isolated_energies().detach(), single.isolated_energies().detach(), "isolated", 1e-12)
    for deviation in spread(equal, batch):
        same(deviation, torch.zeros_like(deviation), "spread", 1e-12)
    one, _ = to_batch(zoo.STRUCTURES["triclinic"], single.cutoff)
    fused, alone = FusedPotential(equal)(one), FusedPotential(single)(one)
    for field in FIELDS:
        same(getattr(fused, field), getattr(alone, field), f"fused {field}", 1e-12)


def test_spread_is_the_standard_deviation_over_the_members():
    potential = committee()
    batch = mixed(potential)
    expected = of_members(potential, batch)
    for features in (None, potential.descriptor):
        found = spread(potential, batch, features=features)
        for name in ("energy", "forces", "atomic_energies"):
            same(getattr(found, name), expected[name].std(axis=0, ddof=1), name, 1e-11)


def test_spread_is_calibrated():
    potential = committee()
    batch = mixed(potential)
    before = spread(potential, batch)
    potential.calibration = Calibration(energy=2.0, forces=3.0)
    for found, old, factor in zip(spread(potential, batch), before, (2.0, 3.0, 2.0), strict=True):
        same(found, factor * old, "calibrated", 1e-14)


def test_spread_of_a_force_does_not_turn():
    """Its length over the three components; a component alone does."""
    potential, structure = committee(), zoo.STRUCTURES["molecule"]
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    found = []
    for positions in (structure.positions, structure.positions @ turn):
        batch, _ = to_batch(structure, potential.cutoff)
        found.append(spread(potential, batch._replace(positions=torch.from_numpy(positions))).forces)
    same(found[0].norm(dim=1), found[1].norm(dim=1), "length", 1e-11)
    assert float((found[0] - found[1]).abs().max()) > 1e-3


def test_one_member_has_no_spread():
    potential = zoo.POTENTIALS["radial"]()
    with pytest.raises(ValueError, match=r"has one member.*model\.committee\.members=4"):
        spread(potential, mixed(potential))


def test_members_out_and_in_again():
    potential = committee()
    again = committee_of([member_of(potential, 0), member_of(potential, 1), member_of(potential, 2)])
    assert fingerprint(again) == fingerprint(potential)
    assert fingerprint(committee_of([member_of(potential, 1), member_of(potential, 0)])) != fingerprint(potential)
    batch = mixed(potential)
    for a, b in zip(evaluate(potential, batch), evaluate(again, batch), strict=True):
        assert torch.equal(a.nan_to_num(9.0), b.nan_to_num(9.0))
    with pytest.raises(ValueError, match="member is 3; expected 0 to 2"):
        member_of(potential, 3)


@pytest.mark.parametrize(
    ("other", "what"), [("shifted", "functions"), ("scaled", r"scaling\.scale"), ("references", "reference_energies")]
)
def test_members_of_different_kinds(other, what):
    one, two = zoo.POTENTIALS["radial"](), zoo.POTENTIALS["radial" if other != "shifted" else "shifted"]()
    if other == "scaled":
        two.scaling.scale *= 2
    if other == "references":
        two.reference_energies += 1
    with pytest.raises(ValueError, match=f"different {what} cannot be members of one committee"):
        committee_of([one, two])


def test_file(tmp_path):
    potential = committee()
    potential.calibration = Calibration(energy=1.7, forces=0.6)
    save_potential(tmp_path / "p.pt", potential, {})
    again = load_potential(tmp_path / "p.pt")
    assert again.members == 3 and again.calibration == potential.calibration
    batch = mixed(potential)
    for a, b in zip(spread(potential, batch), spread(again, batch), strict=True):
        assert torch.equal(a, b)


def test_the_file_of_a_single_potential_is_as_before():
    assert not {"members", "calibration"} & set(potential_content(zoo.POTENTIALS["radial"]()))


@pytest.mark.parametrize("name", ["molecule", "triclinic"])
def test_calculator(name):
    potential, structure = committee(), zoo.STRUCTURES[name]
    potential.calibration = Calibration(1.3, 0.7)
    batch, _ = to_batch(structure, potential.cutoff)
    expected, deviations = evaluate(potential, batch), spread(potential, batch)
    from ase import Atoms

    atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
    atoms.calc = calculator = MLIPCalculator(potential)
    same(atoms.get_potential_energy(), expected.energy[0], "energy", 1e-11)
    same(atoms.get_forces(), expected.forces, "forces", 1e-11)
    assert "forces_std" not in calculator.results, "plain dynamics does not pay for it"
    for found, deviation in (("forces_std", "forces"), ("energies_std", "atomic_energies")):
        same(calculator.get_property(found, atoms), getattr(deviations, deviation), found, 1e-11)
    same(calculator.get_property("energy_std", atoms), deviations.energy[0], "energy_std", 1e-11)
    assert calculator.evaluations == 1
    atoms.positions[0, 0] += 0.05
    assert calculator.get_property("energy_std", atoms, allow_calculation=False) is None
    moved = calculator.get_property("energy_std", atoms)
    assert abs(moved - float(deviations.energy[0])) > 1e-6, "belongs to the atoms where they are"
    always = MLIPCalculator(potential, std=True)
    atoms.calc = always
    atoms.get_forces()
    assert always.results["energy_std"] == pytest.approx(moved, rel=1e-10)


def test_calculator_of_a_single_potential():
    single = zoo.POTENTIALS["radial"]()
    assert "energy_std" not in MLIPCalculator(single).implemented_properties
    with pytest.raises(ValueError, match="std is for committees"):
        MLIPCalculator(single, std=True)


def test_evaluate_does_not_depend_on_being_asked_for_the_spread():
    potential = committee()
    batch = mixed(potential)
    before = evaluate(potential, batch)
    spread(potential, batch)
    for a, b in zip(before, evaluate(potential, batch), strict=True):
        assert torch.equal(a.nan_to_num(9.0), b.nan_to_num(9.0))
