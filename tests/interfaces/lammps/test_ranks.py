"""LAMMPS on one, two and four ranks gives what the ASE calculator gives."""

import numpy as np
import pytest

from interfaces.lammps.engine import (
    BAR,
    KCAL_PER_MOL,
    SPECIES,
    input_of,
    needs_ranks,
    run,
    saved,
    system,
    thermo,
    written,
)
from mlip.interfaces.calculator import MLIPCalculator

EXACT = 1e-8  # relative
pytestmark = needs_ranks


def difference(value, expected):
    """Largest difference in units of the largest expected value."""
    return np.abs(np.asarray(value) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("name", SPECIES)
def test_every_number_of_ranks_gives_what_the_calculator_gives(tmp_path, name, ranks):
    atoms = system(name)
    input_of(tmp_path, atoms, SPECIES[name], "run 0")
    outcome = run(tmp_path, name, "--elements", *SPECIES[name], ranks=ranks)
    assert outcome.returncode == 0, outcome.stderr
    first, *rest = outcome.stdout.splitlines()
    assert f"{len(atoms)} atoms on {ranks} ranks" in first and len(rest) == 1 and "extrapolation" in rest[0]
    found = written(tmp_path)
    atoms.positions = found.atoms[:, :3]  # LAMMPS turns the cell of its own
    atoms.calc = MLIPCalculator(saved(name))
    assert difference(found.energy, atoms.get_potential_energy()) < EXACT
    assert difference(found.atoms[:, 3:6], atoms.get_forces()) < EXACT
    assert difference(found.atoms[:, 6], atoms.get_potential_energies()) < EXACT
    if atoms.pbc.all():
        assert difference(found.stress, atoms.get_stress()) < EXACT


@pytest.mark.parametrize("name", ["water", "metal"])
def test_energy_is_conserved_on_two_ranks_while_atoms_move_between_them(tmp_path, name):
    atoms = system(name)
    commands = ["undump all", "minimize 0 1e-2 60 200", "reset_timestep 0", "velocity all create 500 5 loop geom",
                "fix 1 all nve", "timestep 0.0005", "thermo 10", "run 1000"]  # fmt: skip
    input_of(tmp_path, atoms, SPECIES[name], *commands)
    outcome = run(tmp_path, name, "--elements", *SPECIES[name], ranks=2)
    assert outcome.returncode == 0, outcome.stderr
    rows = thermo(tmp_path)
    dynamics = rows[np.argmax(np.diff(rows[:, 0]) < 0) + 1 :]
    assert dynamics[-1, 0] == 1000
    total, kinetic = dynamics[:, 3], dynamics[:, 3] - dynamics[:, 2]
    assert np.ptp(kinetic) > 0.05 * kinetic.mean()  # something happens
    assert abs(total - total[0]).max() < 1e-3 * kinetic.mean()


def test_real_units_and_what_the_input_says_of_the_potential(tmp_path):
    atoms = system("water")
    input_of(tmp_path, atoms, "OH", "pair_style mlip", "pair_coeff * * O H", "run 0", units="real")
    outcome = run(tmp_path, "water", ranks=2)
    assert outcome.returncode == 0, outcome.stderr
    found = written(tmp_path)
    atoms.positions = found.atoms[:, :3]
    atoms.calc = MLIPCalculator(saved("water"))
    assert difference(found.energy * KCAL_PER_MOL, atoms.get_potential_energy()) < EXACT
    assert difference(found.atoms[:, 3:6] * KCAL_PER_MOL, atoms.get_forces()) < EXACT
    per_atm = KCAL_PER_MOL / 68568.415 / BAR  # the constant of LAMMPS's real units
    assert difference(found.stress * per_atm, atoms.get_stress()) < EXACT


def test_a_barostat_defined_before_the_pair_style_begins_with_the_pressure_of_the_potential(tmp_path):
    """Fixes act in the order of their definition: one before the potential would ask for a virial that is not there."""
    atoms = system("metal")
    style = ["pair_style mlip", "pair_coeff * * Al Cu"]
    barostat = ["velocity all create 300 5 loop geom", "fix 1 all npt temp 300 300 0.05 tri 0 0 0.5"]
    found = []
    for order in ([*style, *barostat], [*barostat, *style]):
        input_of(tmp_path, atoms, SPECIES["metal"], "undump all", *order, "run 2")
        outcome = run(tmp_path, "metal")
        assert outcome.returncode == 0, outcome.stderr
        found.append(thermo(tmp_path))
    np.testing.assert_array_equal(*found)
    assert np.isfinite(found[0]).all() and len(found[0]) == 2


def test_constant_pressure_restart_and_loops_of_the_input_on_two_ranks(tmp_path):
    atoms = system("metal")
    commands = ["velocity all create 300 5 loop geom", "fix 1 all npt temp 300 300 0.05 tri 0 0 0.5", "undump all",
                "variable turn loop 2", "label again", "thermo 5", "run 5", "next turn", "jump SELF again",
                "write_restart state.bin", "run 1"]  # fmt: skip
    input_of(tmp_path, atoms, SPECIES["metal"], *commands)
    outcome = run(tmp_path, "metal", "--elements", *SPECIES["metal"], ranks=2)
    assert outcome.returncode == 0, outcome.stderr
    rows = thermo(tmp_path)
    assert rows[:, 0].tolist() == [0, 5, 5, 10, 10, 11]
    assert rows[-1, 10] != rows[0, 10]  # the volume
    lines = (tmp_path / "in.lammps").read_text().splitlines()
    again = ["units metal", "read_restart state.bin", *(line for line in lines if line.startswith("thermo_"))]
    (tmp_path / "in.lammps").write_text("\n".join([*again, "fix 1 all npt temp 300 300 0.05 tri 0 0 0.5", "run 1"]))
    outcome = run(tmp_path, "metal", "--elements", *SPECIES["metal"])
    assert outcome.returncode == 0, outcome.stderr
    assert difference(thermo(tmp_path)[:, 1:], rows[-2:, 1:]) < 1e-9


def test_deviations_of_a_committee_can_be_dumped(tmp_path):
    atoms = system("water")
    committee = saved("water", members=3)
    input_of(tmp_path, atoms, SPECIES["water"], "undump all", "run 0")
    columns = "id x y z d_mlip_forces_std d_mlip_energy_std"
    with (tmp_path / "in.lammps").open("a") as file:
        file.write(f"dump std all custom 1 dump.txt {columns}\ndump_modify std sort id format float %.16g\nrun 1\n")
    outcome = run(tmp_path, "water", "--elements", *SPECIES["water"], "--std", 1, ranks=2, file=committee)
    assert outcome.returncode == 0, outcome.stderr
    found = written(tmp_path).atoms
    atoms.positions = found[:, :3]
    atoms.calc = MLIPCalculator(committee, std=True)
    atoms.get_potential_energy()
    expected = np.linalg.norm(atoms.calc.results["forces_std"], axis=1)
    assert difference(found[:, 3], expected) < EXACT
    assert difference(found[:, 4], atoms.calc.results["energies_std"]) < EXACT
    assert found[:, 3].min() > 0


@pytest.mark.parametrize(
    ("elements", "essentials"),
    [(["H", "Xe"], "does not know Xe"), (["H"], "2 atom types"), ([], "no elements"), (["H", "Qq"], "'Qq' is not")],
)
def test_wrong_elements_end_all_ranks_with_one_message(tmp_path, elements, essentials):
    input_of(tmp_path, system("water"), SPECIES["water"], "run 0")
    outcome = run(tmp_path, "water", *(["--elements", *elements] if elements else []), ranks=2)
    assert outcome.returncode == 2
    assert outcome.stderr.count("mlip: error:") == 1 and essentials in outcome.stderr, outcome.stderr
    assert "Traceback" not in outcome.stderr and outcome.stdout == ""


def test_what_lammps_does_not_know_ends_all_ranks_with_one_message(tmp_path):
    input_of(tmp_path, system("water"), SPECIES["water"], "fix 1 all no_such_fix", "run 0")
    outcome = run(tmp_path, "water", "--elements", *SPECIES["water"], ranks=2)
    assert outcome.returncode == 2
    assert outcome.stderr.count("mlip: error:") == 1 and "no_such_fix" in outcome.stderr, outcome.stderr


def test_a_failure_in_the_middle_of_a_run_on_one_rank_ends_all_with_one_message(tmp_path):
    commands = ["fix 1 all nve", "velocity all create 300 5 loop geom", "variable bad equal 1e300",
                "run 3", "group one id 1", "set group one x $(v_bad)", "run 3"]  # fmt: skip
    input_of(tmp_path, system("molecule"), SPECIES["molecule"], *commands)
    outcome = run(tmp_path, "molecule", "--elements", *SPECIES["molecule"], ranks=2)
    assert outcome.returncode == 2, outcome
    assert outcome.stderr.count("mlip: error:") == 1, outcome.stderr
    assert "Traceback" not in outcome.stderr


ONE_RANK_FAILS = """
import sys
from mlip.interfaces.lammps import domain, library
from mlip import cli

evaluate = domain.Domain.evaluate
def failing(self, positions):
    if library.start.ranks.rank == 1 and self.evaluations == 2:
        raise MemoryError("no memory on this rank")
    self.evaluations += 1
    return evaluate(self, positions)
domain.Domain.evaluations, domain.Domain.evaluate = 0, failing

start = library.start
def starting(arguments):
    engine, starting.ranks = start(arguments)
    return engine, starting.ranks
library.start = starting
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_failure_of_one_rank_ends_the_others(tmp_path):
    input_of(tmp_path, system("water"), SPECIES["water"], "fix 1 all nve", "run 5")
    (tmp_path / "fails.py").write_text(ONE_RANK_FAILS)
    outcome = run(tmp_path, "water", "--elements", *SPECIES["water"], ranks=2, program=["fails.py"])
    assert outcome.returncode == 2, outcome
    assert outcome.stderr == "mlip: error: no memory on this rank\n"
    assert len(thermo(tmp_path)) == 1


def test_a_signal_to_one_rank_stops_all_and_the_restart_goes_on(tmp_path):
    """The run ends after a step, what follows it in the input is done, and the exit status says to requeue."""
    name = "metal"
    commands = ["undump all", "fix 1 all nve", "run 0", "shell touch begun", "run 100000",
                "write_restart stopped.restart", "run 5"]  # fmt: skip
    input_of(tmp_path, system(name), SPECIES[name], *commands)
    second = tmp_path / "second.py"  # the rank that hears of it
    second.write_text(
        "import os, signal, sys, threading, time\n"
        "from mlip.cli import main\n"
        "def warn():\n"
        "    while not os.path.exists('begun'):\n"
        "        time.sleep(0.02)\n"
        "    time.sleep(0.3)\n"
        "    os.kill(os.getpid(), signal.SIGUSR1)\n"
        "if os.environ.get('PMI_RANK') == '1':\n"
        "    threading.Thread(target=warn).start()\n"
        "sys.exit(main())\n"
    )
    outcome = run(tmp_path, name, "--elements", *SPECIES[name], ranks=2, program=(str(second),))
    assert outcome.returncode == 75, outcome.stderr
    step = int(outcome.stderr.split("stopped by SIGUSR1 at step ")[1].split()[0])
    assert 0 < step < 100000 and outcome.stderr.count("mlip:") == 1
    going_on = "units metal\natom_style atomic\nread_restart stopped.restart\nfix 1 all nve\n"
    (tmp_path / "in.lammps").write_text(f"{going_on}run {step + 10} upto\n")
    outcome = run(tmp_path, name, "--elements", *SPECIES[name], "--json", ranks=2)
    assert outcome.returncode == 0 and f'"step": {step + 10},' in outcome.stdout, outcome
