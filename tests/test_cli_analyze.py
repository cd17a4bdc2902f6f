"""The command analyze: from a file to numbers, curves and pictures."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from interfaces.command import mlip, refused
from interfaces.trained import alcu, crystal, ethanol, molecule

from mlip.cli import make_parser
from mlip.trajectory import TrajectoryFile

DOCS = Path(__file__).parents[1] / "docs"

STEP = 5.0  # fs


@pytest.fixture(scope="module")
def copper(tmp_path_factory):
    """120 frames of 32 atoms of an alloy at about 400 K, by another program's calculator."""
    path = tmp_path_factory.mktemp("analyze") / "copper.traj"
    atoms = bulk("Cu", cubic=True, a=3.62).repeat(2)
    atoms.numbers[[0, 5, 9]] = 13
    atoms.calc = EMT()
    thermalize_momenta(atoms, temperature_K=800, rng=np.random.default_rng(1))
    dynamics = VelocityVerlet(atoms, STEP * 0.09822694788464063)
    trajectory = TrajectoryFile(path)
    for step in range(120):
        trajectory.write(atoms, step, STEP * step)
        dynamics.run(1)
    return path


def column(path, name):
    with path.open(encoding="utf-8", newline="") as file:
        return np.array([float(row[name]) for row in csv.DictReader(file)])


def test_numbers_curves_and_pictures(copper, tmp_path):
    folder = tmp_path / "out"
    outcome = mlip("analyze", copper, "--output", folder, "--json", "--cutoff", 6)
    assert outcome.status == 0, outcome.err
    results = json.loads(outcome.out)
    assert (results["frames"], results["atoms"], results["elements"]) == (120, 32, ["Al", "Cu"])
    assert results["step_fs"] == pytest.approx(STEP) and results["time_ps"] == pytest.approx(0.595)
    frames = read(copper, ":")
    assert results["temperature"]["mean"] == pytest.approx(np.mean([atoms.get_temperature() for atoms in frames]))
    total = np.array([atoms.get_total_energy() / 32 for atoms in frames])
    slope = 1e3 * np.polyfit(1e-3 * STEP * np.arange(120), total, 1)[0]
    assert results["energy_drift"]["meV_per_atom_ps"] == pytest.approx(slope)
    assert results["pairs"]["Cu-Cu"]["coordination"] + results["pairs"]["Al-Cu"]["reverse"] == pytest.approx(
        12, abs=0.3
    )
    assert results["vibrations"]["velocities"] == "from the file"
    assert 1 < results["vibrations"]["peaks_THz"]["Cu"] < 8
    names = {path.name for path in folder.iterdir()}
    tables = {"conditions.csv", "rdf.csv", "msd.csv", "vacf.csv", "spectrum.csv"}
    pictures = {f"{name}.{kind}" for name in ("conditions", "rdf", "msd", "spectrum") for kind in ("svg", "png")}
    assert names == tables | pictures == {path.rsplit("/", 1)[-1] for path in results["files"]}
    np.testing.assert_allclose(column(folder / "conditions.csv", "total energy (eV/atom)"), total, rtol=1e-7)
    assert column(folder / "rdf.csv", "neighbors Cu-Cu")[-1] > 12
    assert (folder / "rdf.png").stat().st_size > 5000 and "<svg" in (folder / "msd.svg").read_text(encoding="utf-8")


def test_a_run_is_equal_to_itself(copper, tmp_path):
    outcome = mlip("analyze", copper, "--reference", copper, "--output", tmp_path / "out", "--json")
    differences = json.loads(outcome.out)["differences"]

    def numbers(value):
        return [n for each in value.values() for n in numbers(each)] if isinstance(value, dict) else [value]

    found = numbers(differences)
    assert len(found) > 20 and {n for n in found if n is not None} == {0.0}
    assert (tmp_path / "out" / "reference_rdf.csv").read_text() == (tmp_path / "out" / "rdf.csv").read_text()
    text = mlip("analyze", copper, "--reference", copper, "--output", tmp_path / "text").out
    assert "differences, trajectory less reference:" in text and "0.00 % elsewhere" in text


def test_what_differs_is_said(copper, tmp_path):
    """A reference of another temperature and a larger cell."""
    other = tmp_path / "other.xyz"
    frames = read(copper, ":")
    for atoms in frames:
        atoms.calc = None
        atoms.set_cell(1.1 * atoms.cell.array, scale_atoms=True)
        atoms.set_momenta(0.5 * atoms.get_momenta())
    write(other, frames)
    outcome = mlip("analyze", copper, "--reference", other, "--output", tmp_path / "out", "--json")
    results = json.loads(outcome.out)
    found = results["differences"]
    assert found["temperature"] == pytest.approx(0.75 * results["temperature"]["mean"])
    assert found["potential_energy"] is None and found["volume"] < 0
    assert found["pairs"]["Cu-Cu"]["peak"] == pytest.approx(-0.26, abs=0.06)
    assert 0.2 < found["pairs"]["Cu-Cu"]["share"] < 1
    assert found["vibrations"]["all"]["share"] < 0.01, "slower by the same factor everywhere"


def test_velocities_that_are_not_there_are_taken_from_positions(copper, tmp_path):
    bare = tmp_path / "bare.xyz"
    frames = read(copper, ":")
    for atoms in frames:
        atoms.calc = None
        atoms.set_positions(atoms.positions, apply_constraint=False)
        del atoms.arrays["momenta"]
        atoms.info.clear()
        atoms.wrap()
    write(bare, frames)
    options = ("--time-step", STEP, "--json", "--quiet")
    refused(mlip("analyze", bare, "--output", tmp_path / "no"), "bare.xyz, chosen frame 0: no time", "--time-step")
    found = json.loads(mlip("analyze", bare, "--output", tmp_path / "a", *options).out)
    known = json.loads(mlip("analyze", copper, "--output", tmp_path / "b", "--json").out)
    assert found["vibrations"]["velocities"] == "differences of positions"
    assert found["temperature"] is None and "no temperature: not every frame has momenta" in found["notes"]
    spectra = [column(tmp_path / name / "spectrum.csv", "all (1/THz)") for name in "ab"]
    frequencies = [column(tmp_path / name / "spectrum.csv", "frequency (THz)") for name in "ab"]
    same = np.interp(frequencies[1], frequencies[0], spectra[0])
    assert np.abs(same - spectra[1]).max() < 0.05 * spectra[1].max()
    for name in ("Al", "Cu"):
        columns = [column(tmp_path / where / "msd.csv", f"msd {name} (Å²)") for where in "ab"]
        np.testing.assert_allclose(*columns, rtol=1e-5, atol=1e-6)
    assert found["diffusion"]["Cu"]["coefficient"] == pytest.approx(known["diffusion"]["Cu"]["coefficient"], rel=1e-4)


def test_a_set_of_structures_has_distances_only(bundled, tmp_path):
    outcome = mlip("analyze", bundled / "alcu_emt.xyz", "--static", "--output", tmp_path / "out")
    assert outcome.status == 0, outcome.err
    assert "Al-Cu" in outcome.out and "diffusion" not in outcome.out and "ps" not in outcome.out.splitlines()[0]
    assert not (tmp_path / "out" / "msd.csv").exists()


@pytest.mark.parametrize("start", [molecule, crystal])
def test_what_md_writes_is_understood(start, tmp_path):
    """A molecule without a cell, and a crystal; in the format of `mlip md`."""
    atoms = start()
    write(tmp_path / "start.xyz", atoms)
    run, element = tmp_path / "md.xyz", atoms[0].symbol
    potential = ethanol() if start is molecule else alcu()
    made = mlip("md", potential, tmp_path / "start.xyz", "--steps", 45, "--interval", 2, "--output", run, "--quiet")
    assert made.status == 0, made.err
    outcome = mlip("analyze", run, "--output", tmp_path / "out", "--element", element)
    assert outcome.status == 0, outcome.err
    assert "23 frames, 0.022 ps, every 1 fs" in outcome.out, "without the last one, which is out of step"
    assert ("neighbors per Å" in outcome.out) == (start is molecule)
    with (tmp_path / "out" / "msd.csv").open(encoding="utf-8") as file:
        assert file.readline().strip() == f"lag (ps),msd {element} (Å²)"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--blocks", 1), "--blocks is 1; an error needs at least 2"),
        (("--fit", 3, 2), "--fit is 3.0 2.0 ps; expected two rising lags"),
        (("--fit", 0.01, 9), "--fit is 0.01 to 9 ps; expected two rising lags within one of 4 blocks"),
        (("--window", 0), "--window is 0.0 ps"),
        (("--cutoff", -1), "--cutoff is -1.0 Å"),
        (("--element", "Xx"), "--element: 'Xx' is not a chemical element"),
        (("--element", "Fe"), "--element names Fe, of which the trajectory has no atom"),
        (("--reference-time-step", 2), "are for a --reference"),
        (("--reference", "nowhere.xyz"), "nowhere.xyz: no such file"),
        (("--time-step", 2), "has a time of its own"),
        (("--index", "500:"), "--index '500:' selects no frame"),
    ],
)
def test_mistakes_are_named(copper, tmp_path, options, words):
    assert refused(mlip("analyze", copper, "--output", tmp_path / "out", *options), words)
    assert not list((tmp_path / "out").glob("*")), "and nothing is left"


@pytest.mark.parametrize("index", [":1", ":2", ":3", ":8"])
def test_few_frames(copper, tmp_path, index):
    """Nothing is said that so few cannot tell."""
    outcome = mlip("analyze", copper, f"--index={index}", "--output", tmp_path / "out", "--json", "--reference", copper)
    assert outcome.status == 0, outcome.err
    results = json.loads(outcome.out)
    assert results["frames"] == int(index[1:])
    assert all(value is None for value in (results["diffusion"] or {}).values())
    assert (results["vibrations"] is None) == (results["frames"] < 3)
    assert "NaN" not in outcome.out and "Infinity" not in outcome.out


def test_atoms_that_stand_still(tmp_path):
    """No temperature, no vibrations, no diffusion, and no division by any of them."""
    frames = [crystal() for _ in range(60)]
    for atoms in frames:
        atoms.set_momenta(np.zeros((len(atoms), 3)))
    write(tmp_path / "still.xyz", frames)
    outcome = mlip("analyze", tmp_path / "still.xyz", "--time-step", 1, "--output", tmp_path / "out", "--json")
    assert outcome.status == 0, outcome.err
    results = json.loads(outcome.out)
    assert results["temperature"]["mean"] == 0
    for found in results["diffusion"].values():
        assert abs(found["coefficient"]) < 1e-12 and found["error"] < 1e-12


@pytest.mark.parametrize(
    "line", re.findall(r"^mlip .*", (DOCS / "analyze.md").read_text(encoding="utf-8"), re.MULTILINE)
)
def test_the_commands_of_the_page_are_understood(line):
    _, *arguments = line.split("#")[0].split()
    make_parser().parse_args(arguments)


def test_no_file_is_replaced_unasked(copper, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    refused(mlip("analyze", copper, "--output", tmp_path), "which is not empty", "--overwrite")
    assert mlip("analyze", copper, "--output", tmp_path, "--overwrite").status == 0
    assert (tmp_path / "mine.txt").read_text() == "mine"
    refused(mlip("analyze", copper, "--output", tmp_path / "mine.txt"), "a file; expected a folder")
