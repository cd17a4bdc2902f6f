"""Files made to fill the memory or to run forever, one by one."""

import bz2
import gzip
import lzma
import os
import signal
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager
from io import BytesIO

import h5py
import numpy as np
import pytest
import torch
from interfaces.command import mlip, refused
from interfaces.trained import ethanol

from fuzz.guard import calm
from fuzz.samples import sample
from fuzz.test_configs import SMALL
from mlip.configfile import load_config
from mlip.data.read import read_structures
from mlip.model.checkpoint import load_content, load_potential

MB = 1 << 20


@contextmanager
def at_most(megabytes):
    """Python's own memory, NumPy's arrays included, stays below."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * MB
    finally:
        tracemalloc.stop()


def zipped_zeros(names, gigabytes):
    """A zip file whose entries unpack to so many zeros each: one packed megabyte, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    megabyte = packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    content = megabyte * (1024 * gigabytes - 1) + packer.flush()
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, content)
    raw = bytearray(buffer.getvalue())
    for mark, kind, size in ((b"PK\x03\x04", 8, 22), (b"PK\x01\x02", 10, 24)):
        place = raw.find(mark)
        while place >= 0:
            raw[place + kind : place + kind + 2] = zipfile.ZIP_DEFLATED.to_bytes(2, "little")
            raw[place + size : place + size + 4] = ((1024 * gigabytes - 1) * MB).to_bytes(4, "little")
            place = raw.find(mark, place + 4)
    return bytes(raw)


def refused_npz(path, essential):
    with at_most(100), pytest.raises(ValueError, match=essential) as caught:
        read_structures(path)
    assert path.name in str(caught.value)
    calm(lambda: read_structures(path), path.name)


def test_ten_gigabytes_of_zeros_in_twelve_megabytes(tmp_path):
    path = tmp_path / "bomb.npz"
    path.write_bytes(zipped_zeros(["R.npy", "z.npy", "E.npy", "F.npy"], 3))
    assert path.stat().st_size < 15 * MB
    refused_npz(path, "claim to hold 1[0-9]{10}; data do not")


def test_a_table_of_contents_that_lies(tmp_path):
    """A length of four gigabytes where there are some hundred bytes."""
    content = bytearray(sample("rmd17.npz"))
    place = content.rindex(b"PK\x01\x02") + 24  # uncompressed size of the last entry
    content[place : place + 4] = b"\xfe\xff\xff\xff"
    (tmp_path / "lying.npz").write_bytes(content)
    refused_npz(tmp_path / "lying.npz", "claim to hold")


@pytest.mark.parametrize("shape", [(10**12, 9, 3), (10**7, 9, 3), (3, 9, 3)])
def test_an_array_that_is_smaller_than_it_says(tmp_path, shape):
    with np.load(BytesIO(sample("rmd17.npz"))) as file:
        arrays = dict(file)
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    path = tmp_path / "lying.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("coords.npy", header.getvalue() + arrays["coords"].tobytes())
        for name in ("nuclear_charges", "energies", "forces"):
            buffer = BytesIO()
            np.save(buffer, arrays[name])
            file.writestr(f"{name}.npy", buffer.getvalue())
    refused_npz(path, "array 'coords' cannot be read: its shape")


def test_objects_in_an_array_are_never_unpickled(tmp_path):
    class Code:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "touched"),)

    arrays = {"R": np.zeros((1, 2, 3)), "z": np.array([Code(), 1], dtype=object)}
    np.savez(tmp_path / "code.npz", **arrays)
    refused_npz(tmp_path / "code.npz", "holds Python objects")
    assert not (tmp_path / "touched").exists()


def test_ordinary_compression_passes(tmp_path):
    with np.load(BytesIO(sample("rmd17.npz"))) as file:
        np.savez_compressed(tmp_path / "packed.npz", **dict(file))
    assert len(read_structures(tmp_path / "packed.npz")) == 4


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip), (".bz2", bz2), (".xz", lzma)])
@pytest.mark.parametrize("name", ["bomb.xyz", "bomb.data"])
def test_packed_text(tmp_path, suffix, pack, name):
    path = tmp_path / (name + suffix)
    path.write_bytes(pack.compress(b"begin\n") * ("data" in name) + pack.compress(b" " * 8 * MB) * 1280)  # 10 GB
    with pytest.raises(ValueError, match="claim to hold"):
        read_structures(path)
    calm(lambda: read_structures(path), path.name)


@pytest.mark.parametrize("shape", [(10**12, 9, 3), (10**8, 9, 3)])
def test_hdf5_that_was_never_written(tmp_path, shape):
    path = tmp_path / "hollow.h5"
    with h5py.File(path, "w") as file:
        file["species"] = np.array([1] * 9)
        file.create_dataset("coordinates", shape, "f8", chunks=(1000, 9, 3))
    with at_most(100), pytest.raises(ValueError, match=r"hollow\.h5"):
        read_structures(path)
    calm(lambda: read_structures(path), path.name)


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        ALIASES,
        SMALL + ALIASES.replace("a: ", "a1: ", 1),
        "data: &a {train: *a}\n",
        "data: &a [*a]\n",
        "[" * 100_000,
        "{a: " * 50_000,
        "- " * 100_000,
        "a: " + "9" * 5000,
        "run: {dir: a, dir: b}\n",
        "x" * 2_000_000,
        "data: {train: !!python/object/apply:os.system ['touch touched']}\n",
        "data: {train: !!binary aGFsbG8=}\n",
        "data:\n  train: a\x00b\n",
        "%YAML 9.9\n---\n" + SMALL,
        "---\na: 1\n---\nb: 2\n",
        SMALL.replace("4.0", "1" + "0" * 400),
        SMALL.replace("count: 4", "count: 1000000000000"),
        SMALL.replace("shells: 1, angles: 2", "shells: 1000000, angles: 1000000"),
        SMALL.replace("[8, 8]", "[1000000000]"),
        SMALL.replace("[8, 8]", str([8] * 10_000)),
    ],
    ids=range(20),
)
def test_yaml(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    assert calm(lambda: load_config("config.yaml"), "config.yaml") is None
    assert refused(mlip("check", "config.yaml"), "config.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("coding", ["utf-8-sig", "latin-1", "utf-16", "crlf"])
def test_codings_of_yaml(tmp_path, coding):
    """A mark at the beginning and Windows' ends of lines change nothing; other codings are refused."""
    text, path = SMALL.replace("runs/small", "runs/Å"), tmp_path / "config.yaml"
    path.write_bytes(text.replace("\n", "\r\n").encode() if coding == "crlf" else text.encode(coding))
    if coding in ("utf-8-sig", "crlf"):
        assert load_config(path).run.dir == "runs/Å"
    else:
        assert calm(lambda: load_config(path), path.name) is None


def test_potentials_that_unpack_to_more(tmp_path):
    path = tmp_path / "packed.pt"
    with zipfile.ZipFile(ethanol() / "potential.pt") as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(ValueError, match="is compressed"):
        load_potential(path)


@pytest.mark.parametrize(
    ("key", "value", "essential"),
    [
        ("hidden", [[10**6, 10**6]] * 3, "there are .* weights"),
        ("members", 10**9, "there are .* weights"),
        ("elements", [6, 1, 8], "ascending order"),
        ("dtype", "int8", "expected float32 or float64"),
        ("energy_scale", float("nan"), "expected a finite number"),
        ("ranges", {"lowest": torch.zeros(1).expand(10**5, 10**7), "highest": torch.zeros(1)}, "fewer numbers"),
    ],
)
def test_potentials_whose_values_lie(tmp_path, key, value, essential):
    content = load_content(ethanol())
    torch.save({**content, key: value}, tmp_path / "lying.pt")
    with at_most(100), pytest.raises(ValueError, match=f"(?s)lying.pt.*{essential}"):
        load_potential(tmp_path / "lying.pt")


def test_a_weight_that_is_no_number(tmp_path):
    content = load_content(ethanol())
    name = next(name for name in content["state"] if name.startswith("atomic."))
    content["state"][name].view(-1)[0] = torch.nan
    torch.save(content, tmp_path / "nan.pt")
    with pytest.raises(ValueError, match=r"nan\.pt: .*a weight is not a finite number"):
        load_potential(tmp_path / "nan.pt")


def test_signals_are_as_before():
    before = [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGPROF)]
    assert calm(lambda: 1) == 1
    assert [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGPROF)] == before
