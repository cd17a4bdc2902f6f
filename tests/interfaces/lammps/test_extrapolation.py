"""Atoms outside of the training set's features, seen by all ranks."""

import json

import numpy as np

from interfaces.lammps.engine import SPECIES, input_of, needs_ranks, potential, run, system, written
from mlip.batch import to_batch
from mlip.interfaces.calculator import MLIPCalculator
from mlip.model.checkpoint import save_potential
from mlip.model.ranges import fitted_ranges
from mlip.structure import Structure

pytestmark = needs_ranks
COMMANDS = ["undump all", "dump far all custom 1 far.txt id x y z d_mlip_extrapolation",
            "dump_modify far sort id format float %.16g"]  # fmt: skip


def ranged(folder, shrunk):
    """A potential whose ranges are those of the water here, so much shrunk around their middle, and the water."""
    atoms = system("water")
    made = potential("HO")
    structure = Structure(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    batch, _ = to_batch(structure, made.cutoff)
    vectors = batch.positions[batch.pairs[1]] + batch.shifts @ batch.cell[0] - batch.positions[batch.pairs[0]]
    features = made.descriptor(batch.numbers, batch.pairs, vectors)
    ranges = fitted_ranges([features[batch.numbers == z] for z in made.elements])
    middle = (ranges.lowest + ranges.highest) / 2
    for bound in (ranges.lowest, ranges.highest):
        bound += shrunk * (middle - bound)
    made.ranges = ranges
    save_potential(folder / "potential.pt", made, {})
    return folder / "potential.pt", atoms


def severities(folder):
    rows = (folder / "far.txt").read_text().split("ITEM: ATOMS")[1].splitlines()[1:]
    return np.array([row.split()[1:] for row in rows], dtype=float)


def test_two_ranks_count_and_dump_what_the_calculator_finds(tmp_path):
    file, atoms = ranged(tmp_path, 0.5)
    input_of(tmp_path, atoms, SPECIES["water"], *COMMANDS, "run 0")
    outcome = run(tmp_path, "", "--elements", *SPECIES["water"], "--json", ranks=2, file=file)
    assert outcome.returncode == 0, outcome.stderr
    found = severities(tmp_path)
    atoms.positions = found[:, :3]
    atoms.calc = MLIPCalculator(file, extrapolation="count")
    atoms.get_potential_energy()
    expected = atoms.calc.outside.severity
    np.testing.assert_allclose(found[:, 3], expected, rtol=1e-6, atol=1e-9)
    counts = json.loads(outcome.stdout)["extrapolation"]
    assert 0 < sum(of["outside"] for of in counts["elements"].values()) == int((expected > 0).sum())
    assert counts["steps"] == counts["steps_outside"] == 1
    worst = expected[counts["worst"]["atom"] - 1]  # by LAMMPS's number; several atoms are as far outside
    np.testing.assert_allclose([worst, counts["worst"]["severity"]], expected.max(), rtol=1e-6)
    assert counts["steps_far_outside"] == int(expected.max() > 1)


def test_an_atom_too_far_outside_stops_all_ranks_and_saves_the_atoms(tmp_path):
    file, atoms = ranged(tmp_path, 0.5)
    input_of(tmp_path, atoms, SPECIES["water"], *COMMANDS, "fix 1 all nve", "run 100", "run 100")
    arguments = ("--elements", *SPECIES["water"], "--on-extrapolation", "stop", "--largest-extrapolation", "0.2")
    outcome = run(tmp_path, "", *arguments, ranks=2, file=file)
    assert outcome.returncode == 3, outcome.stderr
    assert outcome.stderr.startswith("mlip: stopped at step") and "extrapolated.data" in outcome.stderr
    assert outcome.stderr.count("mlip:") == 1
    assert f"{len(atoms)} atoms" in (tmp_path / "extrapolated.data").read_text()
    last = int((tmp_path / "far.txt").read_text().split("ITEM: TIMESTEP")[-1].split()[0])
    assert last < 5


def test_inside_of_its_ranges_nothing_is_said(tmp_path):
    file, atoms = ranged(tmp_path, 0.0)
    input_of(tmp_path, atoms, SPECIES["water"], "run 0")
    outcome = run(tmp_path, "", "--elements", *SPECIES["water"], "--on-extrapolation", "stop", ranks=2, file=file)
    assert outcome.returncode == 0, outcome.stderr
    assert "no atom outside" in outcome.stdout
    assert written(tmp_path).energy < 0


def test_what_makes_no_sense_is_one_message(tmp_path):
    input_of(tmp_path, system("water"), SPECIES["water"], "run 0")
    for options, essentials in ((["--on-extrapolation", "panic"], "'panic'; known: ignore, warn, stop"),
                                (["--largest-extrapolation", "-1"], "--largest-extrapolation is -1")):  # fmt: skip
        outcome = run(tmp_path, "water", "--elements", *SPECIES["water"], *options, ranks=2)
        assert outcome.returncode == 2
        assert outcome.stderr.count("mlip: error:") == 1 and essentials in outcome.stderr, outcome.stderr


def test_a_potential_without_ranges_cannot_stop(tmp_path):
    save_potential(tmp_path / "potential.pt", potential("HO"), {})
    input_of(tmp_path, system("water"), SPECIES["water"], "run 0")
    arguments = ("--elements", *SPECIES["water"], "--on-extrapolation", "stop")
    outcome = run(tmp_path, "", *arguments, ranks=2, file=tmp_path / "potential.pt")
    assert outcome.returncode == 2
    assert outcome.stderr.count("mlip: error:") == 1 and "no ranges" in outcome.stderr
