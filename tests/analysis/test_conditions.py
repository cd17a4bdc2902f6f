"""Temperature and energy along a run, and the frames that are taken from a file."""

import io

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from mlip.analysis.conditions import Series, mean_of, row_of, summary
from mlip.analysis.frames import TrajectoryFrames


def frames(count, step=None, first=0.0, entry="time_fs", atoms=3):
    generator = np.random.default_rng(1)
    made = []
    for n in range(count):
        frame = Atoms("Ar" * atoms, generator.random((atoms, 3)) * 5, cell=5 * np.eye(3), pbc=True)
        if step is not None:
            frame.info[entry] = first + n * step
        made.append(frame)
    return made


def saved(path, made):
    write(path, made)
    return path


def times(path, **options):
    return [frame.time for frame in TrajectoryFrames(path, **options)]


@pytest.mark.parametrize("name", ["a.xyz", "a.traj"])
def test_times_come_from_the_file(tmp_path, name):
    path = saved(tmp_path / name, frames(5, 2.5, 10.0))
    assert times(path) == [10.0, 12.5, 15.0, 17.5, 20.0]
    assert times(path, index="1::2") == [12.5, 17.5]
    in_ps = saved(tmp_path / ("ps" + name), frames(3, 0.5, entry="time_ps"))
    assert times(in_ps) == [0.0, 500.0, 1000.0]


def test_or_from_the_time_between_two_frames_of_the_file(tmp_path):
    path = saved(tmp_path / "a.xyz", frames(7))
    assert times(path, time_step=2.0) == [0, 2, 4, 6, 8, 10, 12]
    assert times(path, time_step=2.0, index="::3") == [0, 6, 12]
    assert times(path, static=True) == [None] * 7


def test_a_last_frame_out_of_step_is_left_out(tmp_path):
    made = frames(4, 2.0) + frames(1, 1.0, 7.0)
    assert times(saved(tmp_path / "a.xyz", made)) == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("made", "options", "words"),
    [
        (frames(3), {}, "no time, an entry time_fs or time_ps. Give --time-step"),
        (frames(3), {"option": "--reference-time-step"}, "Give --reference-time-step"),
        (frames(3, 1.0), {"time_step": 1.0}, "has a time of its own, 0 fs; leave --time-step away"),
        (frames(3), {"time_step": 0.0}, "--time-step is 0.0 fs; expected a positive number"),
        (frames(3, 1.0) + frames(3, 1.0), {}, "expected times that rise. Is the file made of several runs?"),
        (frames(3, 1.0) + frames(3, 1.0, 7.0), {}, "is 5 fs after the one before, others 1 fs"),
        (frames(2, 1.0) + frames(2, 1.0, 2.0, atoms=4), {}, r"has other atoms than the first \(4, 3\)"),
        (frames(3, np.nan), {}, "no time"),
        (frames(3), {"index": "9:", "static": True}, "--index '9:' selects no frame"),
        (frames(3), {"index": "a"}, "--index is 'a'; expected an index or a slice"),
    ],
    ids=str,
)
def test_mistakes_are_named(tmp_path, made, options, words):
    path = saved(tmp_path / "a.xyz", made)
    with pytest.raises(ValueError, match=words):
        times(path, **options)


def test_broken_files_are_named(tmp_path):
    (tmp_path / "a.xyz").write_text("3\nnothing\nAr 0 0\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.xyz: ASE cannot read it"):
        times(tmp_path / "a.xyz", static=True)
    made = frames(2)
    made[1].positions[2, 1] = np.nan
    with pytest.raises(ValueError, match="chosen frame 1: a coordinate or the cell is not finite"):
        times(saved(tmp_path / "b.xyz", made), static=True)
    flat = io.StringIO()
    write(flat, made[0], format="extxyz")
    (tmp_path / "c.xyz").write_text(flat.getvalue().replace("5.0", "0.0"), encoding="utf-8")
    with pytest.raises(ValueError, match="the cell has no lattice vector there"):
        times(tmp_path / "c.xyz", static=True)


def test_a_row_is_what_ase_says():
    atoms = frames(1)[0]
    atoms.set_momenta(np.random.default_rng(2).normal(size=(3, 3)))
    atoms.calc = SinglePointCalculator(atoms, energy=-6.0)
    temperature, potential, kinetic, total, volume = row_of(atoms)
    assert temperature == pytest.approx(atoms.get_temperature())
    assert potential == -2.0 and total == pytest.approx(kinetic - 2.0) and volume == pytest.approx(125 / 3)
    assert kinetic == pytest.approx(1.5 * units.kB * atoms.get_temperature())
    atoms = Atoms("He", [[0, 0, 0]])
    assert np.isnan(row_of(atoms)).all()


def test_the_drift_is_the_slope_of_the_total_energy():
    time = np.linspace(0, 4, 81)
    swing = np.sin(2 * np.pi * time / 0.5)
    total = 1e-3 * (0.7 * time + 0.1 * swing) - 3.0
    nothing = np.full(81, np.nan)
    found = summary(Series(time, nothing, nothing, nothing, total, nothing), moving=True)
    assert found["energy_drift"]["meV_per_atom_ps"] == pytest.approx(0.7, abs=0.03)
    assert found["energy_drift"]["swing_meV_per_atom"] == pytest.approx(0.1 / np.sqrt(2), rel=0.05)
    assert found["temperature"] is None and found["total_energy"]["mean"] == pytest.approx(total.mean())
    assert summary(Series(time, *[total] * 5), moving=False)["energy_drift"] is None


def test_the_error_of_a_mean_knows_that_frames_are_alike():
    """Each value repeated twenty times tells nothing new: blocks see it, the number of values does not."""
    generator = np.random.default_rng(3)
    errors = [mean_of(np.repeat(generator.normal(size=100), 20))["error"] for _ in range(50)]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(0.1, rel=0.3)
    assert mean_of(np.array([1.0, np.nan])) is None and mean_of(np.ones(4))["error"] is None
