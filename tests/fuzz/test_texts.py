"""Mutated text files of structures: read, or refused with the file's name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.guard import calm
from fuzz.mutations import BINARY, TEXT, cases, mutated
from fuzz.samples import sample
from mlip.batch import to_batch
from mlip.data.options import ReadOptions
from mlip.data.read import read_structures
from mlip.data.start import read_start

UNITS = ReadOptions(energy_unit="eV", length_unit="Ang", stress_unit="eV/Ang^3")
KINDS = ["periodic.xyz", "molecules.xyz", "md17.xyz", "input.data"]


def read(path, options):
    """What a training does first: structures, and their pairs."""
    structures = read_structures(path, options)
    for structure in structures[:3]:
        to_batch(structure, 5.0)
    return structures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("texts")


@pytest.mark.parametrize("name", [*KINDS, "packed.xyz.gz", "POSCAR", "start.traj"])
def test_the_samples_are_whole(folder, name):
    (folder / name).write_bytes(sample(name))
    assert len(read(folder / name, UNITS)) >= 1


@cases(160, 5200)
@given(name=st.sampled_from(KINDS), changes=TEXT)
def test_texts(folder, name, changes):
    path = folder / name
    path.write_bytes(mutated(sample(name), changes))
    calm(lambda: read(path, UNITS), name)


@cases(40, 1200)
@given(name=st.sampled_from(["packed.xyz.gz", "periodic.xyz", "start.traj", "POSCAR"]), changes=BINARY)
def test_bytes(folder, name, changes):
    path = folder / name
    path.write_bytes(mutated(sample(name), changes))
    calm(lambda: read(path, UNITS), name)


@cases(30, 1000)
@given(name=st.sampled_from(["start.traj", "periodic.xyz", "POSCAR"]), changes=st.one_of(TEXT, BINARY))
def test_starts_of_dynamics(folder, name, changes):
    path = folder / name
    path.write_bytes(mutated(sample(name), changes))
    calm(lambda: read_start(path), name)
