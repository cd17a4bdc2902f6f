"""Tables of pair potentials in LAMMPS: the energy and the forces are those of `evaluate`."""

import numpy as np
import pytest
from physics import zoo

from interfaces.command import mlip, refused
from interfaces.lammps import engine  # noqa: F401 (skips without LAMMPS)
from mlip.batch import to_batch
from mlip.interfaces.lammps.library import start
from mlip.interfaces.lammps.tables import write_tables
from mlip.model.checkpoint import save_potential
from mlip.model.evaluate import evaluate
from mlip.structure import Structure

SIDE = 9.0


@pytest.mark.parametrize("name", ["pairs, morse", "pairs, spline", "pairs, buckingham", "pairs and repulsion"])
def test_energy_and_forces(name, tmp_path):
    potential = zoo.POTENTIALS[name]()
    generator, cell = np.random.default_rng(3), np.eye(3) * SIDE
    positions = zoo.random_positions(generator, 40, cell, (True,) * 3, closest=0.9)
    structure = Structure(np.resize([1, 6, 8], 40), positions, cell, np.ones(3, bool))
    table, script = write_tables(potential, tmp_path)
    commands = [
        "units metal", "atom_modify map array", f"region box block 0 {SIDE} 0 {SIDE} 0 {SIDE}", "create_box 3 box",
        *(
            f"create_atoms {[1, 6, 8].index(z) + 1} single {x:.16g} {y:.16g} {w:.16g}"
            for z, (x, y, w) in zip(structure.numbers, positions, strict=True)
        ),
        *script.read_text(encoding="utf-8").replace(table.name, str(table)).splitlines(), "run 0",
    ]  # fmt: skip
    lammps, _ = start(["-log", "none", "-screen", "none"])
    for command in commands:
        lammps.command(command)
    energy = lammps.get_thermo("pe")
    order = np.argsort(lammps.numpy.extract_atom("id")[:40])
    forces = np.array(lammps.numpy.extract_atom("f")[:40])[order]
    lammps.close()
    batch, _ = to_batch(structure, potential.cutoff)
    expected = evaluate(potential, batch)
    references = float(potential.reference_energies[potential.element_of(batch.numbers)].sum())
    assert energy + references == pytest.approx(float(expected.energy[0]), rel=1e-6)
    np.testing.assert_allclose(forces, expected.forces, atol=2e-5 * float(expected.forces.abs().max()))


def test_what_is_refused(tmp_path):
    for name, words in (("radial", "functions of pairs only"), ("pairs, morse", "")):
        save_potential(tmp_path / "p.pt", zoo.POTENTIALS[name](), {})
        outcome = mlip("export", "lammps", tmp_path / "p.pt", tmp_path / "out")
        assert refused(outcome, words) if words else outcome.status == 0
    assert refused(mlip("export", "lammps", tmp_path / "p.pt", tmp_path / "out"), "pairs.table is there already")
