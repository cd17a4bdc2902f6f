"""The silicon script: elastic constants are those that are known, and the set's dynamics are told apart."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from interfaces.trained import tersoff

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))
import silicon as script  # noqa: E402
import silicon_runs as runs  # noqa: E402

sys.path.remove(str(SCRIPTS))


def test_elastic_constants_of_a_known_potential():
    """Tersoff, Phys. Rev. B 38, 9902 (1988), table I: 143, 75, 69, 119 (held) and 98 GPa."""
    found = script.elastic_constants(tersoff())
    assert found["a"] == pytest.approx(5.432, abs=0.001)
    for name, value in {"C11": 143, "C12": 75, "C44": 69, "C44 held": 119, "B": 98}.items():
        assert found[name] == pytest.approx(value, abs=1), name


def labelled(atoms, group):
    atoms.calc = tersoff()
    energy, stress = atoms.get_potential_energy(), atoms.get_stress()
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((len(atoms), 3)), stress=stress)
    atoms.info["group"] = group
    return atoms


def test_elastic_constants_from_strained_cells_of_a_set(tmp_path):
    """Stresses in a file lead to the constants of the potential that made them; atoms in it are held."""
    frames = []
    for component in range(6):
        for size in (-0.02, 0.0, 0.02):
            atoms = bulk("Si", cubic=True, a=5.4320).repeat(2)
            i, j = script.VOIGT[component]
            green = np.zeros((3, 3))
            green[i, j] = green[j, i] = size if i == j else size / 2
            lengths, axes = np.linalg.eigh(np.eye(3) + 2 * green)
            atoms.set_cell(atoms.cell.array @ (axes * np.sqrt(lengths)) @ axes.T, scale_atoms=True)
            frames.append(labelled(atoms, "Elastic"))
    write(tmp_path / "train.xyz", frames)
    found = script.elastic_constants_of_the_set(tmp_path)
    known = script.elastic_constants(tersoff())
    assert found["C44"] is None
    for name in ("C11", "C12", "C44 held", "B"):
        assert found[name] == pytest.approx(known[name], rel=0.03), name
    assert found["a"] == pytest.approx(5.432)


def test_temperatures_of_the_sets_dynamics(tmp_path):
    """Runs stand one after the other in each file; hotter ones have a higher energy."""
    generator = np.random.default_rng(1)
    order = [2, 0, 4, 1, 3]
    for part, count in (("train", 3), ("test", 1)):
        frames = [labelled(bulk("Si", cubic=True), "Surface")]
        for place in order:
            for _ in range(count):
                atoms = bulk("Si", cubic=True)
                atoms.positions += generator.normal(scale=0.03 + 0.05 * place, size=(8, 3))
                frames.append(labelled(atoms, "AIMD-NVT"))
                frames[-1].info["place"] = place
        write(tmp_path / f"{part}.xyz", frames)
    found = runs.training_dynamics(tmp_path)
    assert list(found) == list(runs.TEMPERATURES)
    assert [{atoms.info["place"] for atoms in each} for each in found.values()] == [{n} for n in range(5)]
    assert {len(each) for each in found.values()} == {4}


def test_stages_follow_from_one_another():
    stages = runs.stages(1.0)
    known = {"crystal", "cell"}
    for stage in stages:
        assert stage.before in known
        known.add(stage.name)
    assert sum(stage.length for stage in stages) > 80
    assert stages[0].length == 10 * runs.stages(0.1)[0].length


def test_mistakes_are_named(tmp_path):
    command = [sys.executable, str(SCRIPTS / "silicon.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "has no train.xyz and no test.xyz" in done.stderr
