"""Mutated npz and HDF5 files, and arrays of wrong shapes and types: read, or refused with the file's name."""

from io import BytesIO

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.guard import calm
from fuzz.mutations import BINARY, cases, mutated
from fuzz.samples import molecules, sample
from fuzz.test_texts import UNITS, read
from mlip.trajectory import load_state, save_state

NPZ = {"md17": ("z", "R", "E", "F"), "rmd17": ("nuclear_charges", "coords", "energies", "forces")}
HDF5 = ("atomic_numbers", "coordinates", "energies", "forces")
DTYPES = ["f2", "f4", "f8", ">f8", "i1", "i8", "u8", "c16", "?", "S4", "U4", "O", "M8[s]", "V8", "i4,f8"]
SHAPES = [
    (),
    (0,),
    (1,),
    (4,),
    (9,),
    (4, 9),
    (4, 9, 3),
    (4, 9, 2),
    (0, 9, 3),
    (4, 0, 3),
    (1, 1, 1, 1),
    (9, 3),
    (4, 1),
    (4, 8, 3),
]
FILLS = ["keep", 0, 1, -1, 119, 1e300, 1e-300, np.nan, np.inf, -np.inf, 2**40]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("arrays")


def array_of(name, change):
    """The array of this name in its right shape, or what a change makes of it."""
    some = molecules()
    right = [
        some[0].numbers,
        np.stack([s.positions for s in some]),
        np.array([s.energy for s in some]),
        np.stack([s.forces for s in some]),
    ]
    value = right[name]
    if change is None:
        return value
    dtype, shape, fill = change
    with np.errstate(all="ignore"):
        value = np.resize(value, shape) if shape is not None else value
        value = value if fill == "keep" else np.full(value.shape, fill, dtype=np.float64)
        try:
            return value.astype(dtype) if dtype is not None else value
        except (TypeError, ValueError):
            return np.zeros(value.shape, dtype)


CHANGE = st.one_of(
    st.none(),
    st.tuples(st.none() | st.sampled_from(DTYPES), st.none() | st.sampled_from(SHAPES), st.sampled_from(FILLS)),
)
LEFT_OUT = st.sets(st.integers(0, 3), max_size=2)


@cases(50, 1200)
@given(kind=st.sampled_from(sorted(NPZ)), changes=st.tuples(*[CHANGE] * 4), left_out=LEFT_OUT)
def test_npz_arrays(folder, kind, changes, left_out):
    path = folder / "arrays.npz"
    arrays = {
        name: array_of(n, change)
        for n, (name, change) in enumerate(zip(NPZ[kind], changes, strict=False))
        if n not in left_out
    }
    np.savez(path, **arrays)
    calm(lambda: read(path, UNITS), path.name)


@cases(50, 1200)
@given(changes=st.tuples(*[CHANGE] * 4), left_out=LEFT_OUT, nested=st.booleans())
def test_hdf5_arrays(folder, changes, left_out, nested):
    path = folder / "arrays.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("a/b") if nested else file
        for n, (name, change) in enumerate(zip(HDF5, changes, strict=False)):
            if n not in left_out:
                value = array_of(n, change)
                group[name] = np.zeros(value.shape, "S4") if value.dtype.kind in "UOMV" else value
    calm(lambda: read(path, UNITS), path.name)


@cases(60, 1600)
@given(name=st.sampled_from(["molecules.npz", "rmd17.npz", "molecules.h5"]), changes=BINARY)
def test_bytes(folder, name, changes):
    path = folder / name
    path.write_bytes(mutated(sample(name), changes))
    calm(lambda: read(path, UNITS), name)


@cases(20, 600)
@given(changes=BINARY)
def test_states_of_dynamics(folder, changes):
    path = folder / "md.xyz.restart.npz"
    save_state(path, generator={"state": {"state": 1, "inc": 2}}, numbers=np.ones(9), step=5, potential="abc")
    path.write_bytes(mutated(path.read_bytes(), changes))
    calm(lambda: load_state(path), path.name)


@cases(20, 200)
@given(
    header=st.binary(max_size=80),
    shape=st.sampled_from(["(1000000000000, 9, 3)", "(-1,)", "(10**12,)", "4", "((4,),)", "(True, 9)"]),
    descr=st.sampled_from(["'<f8'", "'|O'", "'<U1000000000'", "[('a', '<f8', (10000, 10000))]", "'<i'", "None"]),
)
def test_headers_that_lie(folder, header, shape, descr):
    import zipfile

    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    lying = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + header
    path = folder / "lying.npz"
    with zipfile.ZipFile(path, "w") as file:
        for name in NPZ["md17"]:
            value = BytesIO()
            np.save(value, array_of(NPZ["md17"].index(name), None))
            file.writestr(f"{name}.npy", lying if name == "R" else value.getvalue())
    calm(lambda: read(path, UNITS), path.name)
