"""torch-sim's model: its own conformance check, and the numbers of the ASE calculator, one by one and in batches."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.io import write
from physics import zoo

from interfaces.trained import alcu, crystal, ethanol, molecule
from mlip.batch import OverlappingAtoms
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import Radial, Wide
from mlip.interfaces.calculator import MLIPCalculator
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential
from mlip.model.scaling import fitted_scaling

ts = pytest.importorskip("torch_sim", reason="torch-sim is missing: pip install 'mlip[torchsim]'")

from torch_sim.models.interface import validate_model_outputs  # noqa: E402

from mlip.interfaces.torchsim import TorchSimModel  # noqa: E402

CPU = torch.device("cpu")
PERIODIC = [name for name, structure in zoo.STRUCTURES.items() if structure.pbc.all()]


def atoms_of(structure):
    return Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)


def state_of(atoms, dtype=torch.float64):
    return ts.io.atoms_to_state(atoms, CPU, dtype)


def check(model, potential, systems):
    """A batch of systems gives what the calculator gives for each."""
    results = model(state_of(systems))
    assert {value.dtype for value in results.values()} == {torch.float64}
    ends = np.cumsum([len(atoms) for atoms in systems])[:-1]
    split = (np.split(results[name].numpy(), ends) for name in ("forces", "energies"))
    for number, (atoms, forces, energies) in enumerate(zip(systems, *split, strict=True)):
        atoms.calc = MLIPCalculator(potential)
        assert float(results["energy"][number]) == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
        np.testing.assert_allclose(forces, atoms.get_forces(), rtol=0, atol=1e-10)
        np.testing.assert_allclose(energies, atoms.get_potential_energies(), rtol=0, atol=1e-10)
        stress = results["stress"][number].numpy()
        if atoms.pbc.all():
            np.testing.assert_allclose(stress, atoms.get_stress(voigt=False), rtol=0, atol=1e-11)
        else:
            assert np.isnan(stress).all()


def silicon_and_iron(dtype):
    """A potential with random weights for the elements of torch-sim's check."""
    elements, generator = (14, 26), torch.Generator().manual_seed(1)
    functions = [Radial(neighbors=(z,), cutoff=4.5, eta=1.0, r_s=2.4) for z in elements]
    functions += [Wide(neighbors=(14, 26), cutoff=4.0, eta=0.05, zeta=2.0, lambda_=1.0)]
    networks = AtomicNetworks(3, [[4], [4]], ["tanh", "tanh"], generator, 1)
    networks.to(dtype)
    scaling = fitted_scaling([torch.rand(9, 3, generator=generator, dtype=dtype) for _ in elements], "standard")
    return Potential(ACSF(elements, functions), scaling, networks, [-1.0, -2.0]).eval()


@pytest.mark.parametrize("networks", [torch.float32, torch.float64])
@pytest.mark.parametrize("states", [torch.float32, torch.float64])
def test_the_conformance_check_of_torch_sim(networks, states):
    validate_model_outputs(TorchSimModel(silicon_and_iron(networks)), CPU, states)


@pytest.mark.parametrize("kind", ["mixed formulas", "repulsion", "committee"])
def test_batches_of_boxes_and_of_molecules(kind):
    potential = zoo.POTENTIALS[kind]()
    model = TorchSimModel(potential)
    structures = zoo.STRUCTURES
    check(model, potential, [atoms_of(structures[name]) for name in [*PERIODIC, *PERIODIC[::-1]]])
    check(model, potential, [atoms_of(s) for s in (structures["molecule"], zoo.LONE_ATOM, zoo.STRANGERS)])


@pytest.mark.parametrize(("run", "make"), [(ethanol, molecule), (alcu, crystal)])
@pytest.mark.parametrize("precision", ["float64", None])
def test_a_run_folder(run, make, precision):
    model = TorchSimModel(run(), device="cpu", precision=precision)
    atoms = make()
    results = model(state_of(atoms))
    atoms.calc = MLIPCalculator(run(), device="cpu", dtype=precision)
    close = {"rtol": 0, "atol": 1e-10 if precision else 2e-5}
    np.testing.assert_allclose(results["forces"], atoms.get_forces(), **close)
    np.testing.assert_allclose(results["energy"], atoms.get_potential_energy(), **close)
    assert model.dtype == torch.float64 and model.device == CPU
    assert model.potential.dtype == (torch.float64 if precision else torch.float32)


def test_results_that_nobody_wants_are_left_out():
    potential = zoo.POTENTIALS["radial"]()
    state = state_of(atoms_of(zoo.STRUCTURES["triclinic"]))
    full = TorchSimModel(potential)(state)
    assert set(TorchSimModel(potential, compute_forces=False, compute_stress=False)(state)) == {"energy", "energies"}
    assert set(TorchSimModel(potential, compute_stress=False)(state)) == {"energy", "energies", "forces"}
    model = TorchSimModel(potential, compute_forces=False)
    assert torch.equal(model(state)["stress"], full["stress"]) and "forces" not in model(state)
    model.compute_forces = True
    assert torch.equal(model(state)["forces"], full["forces"])


def test_a_dictionary_is_a_state():
    potential = zoo.POTENTIALS["radial"]()
    state = state_of([atoms_of(zoo.STRUCTURES[name]) for name in PERIODIC])
    names = ("positions", "cell", "pbc", "atomic_numbers", "system_idx")
    model = TorchSimModel(potential)
    assert torch.equal(model({name: getattr(state, name) for name in names})["forces"], model(state)["forces"])


@pytest.mark.parametrize("systems", [[molecule, molecule], [crystal, crystal]])
def test_dynamics_of_a_batch_conserves_each_energy(systems):
    model = TorchSimModel((ethanol if systems[0] is molecule else alcu)(), device="cpu", precision="float64")
    state = state_of([make() for make in systems])
    kT = torch.tensor(300 * units.kB, dtype=torch.float64)
    start, step = ts.nve(model, dt=torch.tensor(0.2 * units.fs, dtype=torch.float64), kT=kT)
    state = start(state, kT=kT, seed=1)
    totals, kinetic = [], []
    for _ in range(60):
        state = step(state)
        kinetic.append(ts.calc_kinetic_energy(momenta=state.momenta, masses=state.masses, system_idx=state.system_idx))
        totals.append(state.energy + kinetic[-1])
    swing = torch.stack(totals).std(dim=0)
    assert (swing < 0.03 * torch.stack(kinetic).std(dim=0)).all(), swing
    assert abs(float(kinetic[-1][0] - kinetic[-1][1])) > 1e-4, "the two systems go their own ways"


def test_pressure_is_the_slope_of_the_energy_by_the_volume():
    """By torch-sim's own formula, in which stress has its sign, and in its own volume."""
    model = TorchSimModel(zoo.POTENTIALS["repulsion"]())
    atoms = atoms_of(zoo.STRUCTURES["triclinic"])
    state, step = state_of(atoms), 1e-6
    larger, smaller = atoms.copy(), atoms.copy()
    for changed, factor in ((larger, 1 + step), (smaller, 1 - step)):
        changed.set_cell(atoms.cell * factor, scale_atoms=True)
    ends = state_of([larger, smaller])
    energy, volume = model(ends)["energy"], ends.volume
    found = ts.quantities.get_pressure(model(state)["stress"], 0.0, state.volume)
    assert abs(float(found)) > 1e-3
    assert float(found) == pytest.approx(float((energy[1] - energy[0]) / (volume[0] - volume[1])), rel=1e-6)


def test_mistakes_are_named():
    potential = zoo.POTENTIALS["radial"]()
    model = TorchSimModel(potential)
    with pytest.raises(ValueError, match="does not know Al"):
        model(state_of(Atoms("AlH", [[0, 0, 0], [0, 0, 1.5]])))
    far, near = Atoms("CH", [[0, 0, 0], [0, 0, 1.5]]), Atoms("HCO", [[0, 0, 2], [0, 0, 0], [0, 0, 0.1]])
    with pytest.raises(OverlappingAtoms, match=r"system 1: atoms 1 and 2 are 0\.1 Å apart"):
        model(state_of([far, near]))
    with pytest.raises(ValueError, match="precision is 'float16'"):
        TorchSimModel(ethanol(), precision="float16")
    with pytest.raises(ValueError, match="keeps its own"):
        TorchSimModel(potential, precision="float64")


@pytest.mark.filterwarnings("ignore:Optimize has reached max steps")
def test_the_example_of_the_page(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "torchsim.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert "runs/ethanol" in block
    monkeypatch.chdir(tmp_path)
    write("starts.xyz", [molecule(), molecule()], format="extxyz")
    names = {}
    exec(compile(block.replace("runs/ethanol", str(ethanol())), "docs/torchsim.md", "exec"), names)
    assert names["energies"].shape == (2,) and torch.isfinite(names["energies"]).all()
    assert (names["final"].positions != names["relaxed"].positions).all()
