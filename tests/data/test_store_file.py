"""A store gives back what was put into it, and says so when it cannot."""

import json
import os

import h5py
import numpy as np
import pytest
from physics import zoo

from mlip.data.options import ReadOptions
from mlip.data.read import detect_format, read_structures
from mlip.data.store_file import StoreFile
from mlip.storing import content_of, write_store
from mlip.structure import Structure

DESCRIPTOR = zoo.POTENTIALS["radial"]().descriptor


def labelled():
    """Structures of low symmetry, each with the labels it can have, of which some are missing."""
    made = []
    for n, s in enumerate(zoo.MIXED):
        generator = np.random.default_rng(n)
        stress = generator.normal(size=(3, 3)) if s.pbc.all() and n % 2 == 0 else None
        forces = None if n == 1 else generator.normal(size=(len(s), 3))
        energy = None if n == 2 else float(generator.normal())
        made.append(Structure(s.numbers, s.positions, s.cell, s.pbc, energy, forces, stress))
    return made


def written(path, structures=None, *, chunk=2, features=True, **options):
    content = content_of(DESCRIPTOR, features=features, dtype="float64")
    made = write_store(path, labelled() if structures is None else structures, content, chunk=chunk, **options)
    return made, StoreFile(path)


def damage(path, name, row=3):
    """Change a byte of an array, as a bad disk does."""
    with h5py.File(path) as file:
        place = file[name].id.get_offset() + row
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 255]))


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_every_number_comes_back(tmp_path, chunk):
    written(tmp_path / "s.h5", chunk=chunk)
    assert detect_format(tmp_path / "s.h5") == "store"
    found = read_structures(tmp_path / "s.h5")
    assert len(found) == len(zoo.MIXED)
    for one, other in zip(labelled(), found, strict=True):
        for name in ("numbers", "positions", "cell", "pbc", "energy", "forces", "stress"):
            ours, theirs = getattr(one, name), getattr(other, name)
            assert (ours is None) == (theirs is None)
            assert ours is None or np.array_equal(ours, theirs)
    assert found[3].origin == "s.h5#3"


def test_an_index_picks_structures_and_is_not_used_twice(tmp_path):
    written(tmp_path / "s.h5", about={"index": "::2"})
    whole = read_structures(tmp_path / "s.h5")
    picked = read_structures(tmp_path / "s.h5", ReadOptions(index="1:4"))
    assert [s.origin for s in picked] == [s.origin for s in whole[1:4]]
    with pytest.raises(ValueError, match=r"data\.index is '::2', which already chose .* Set data\.index=':'"):
        read_structures(tmp_path / "s.h5", ReadOptions(index="::2"))


def test_it_is_a_plain_hdf5_file(tmp_path):
    written(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        assert file.attrs["format"] == "mlip store"
        assert np.array_equal(file["positions"], np.concatenate([s.positions for s in zoo.MIXED]))
        assert file["features"].dtype == np.float64 and json.loads(file.attrs["plan"])["chunk"] == 2


@pytest.mark.parametrize("name", ["positions", "energy", "pairs", "features", "jacobian_0"])
def test_damage_is_found_named_and_repaired(tmp_path, name):
    path = tmp_path / "s.h5"
    _, store = written(path)
    before = store.read(name, 0, 2).copy()
    damage(path, name)
    with pytest.raises(ValueError, match=rf"s\.h5: chunk 0 \(structures 0 to 1\) is damaged.* {name} does not fit"):
        StoreFile(path).read_chunk(name, 0)
    assert written(path)[0] == 1, "only the damaged chunk is made again"
    assert np.array_equal(StoreFile(path).read_chunk(name, 0), before)
    assert written(path)[0] == 0


def test_a_preparation_that_was_stopped_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "s.h5"
    _, whole = written(tmp_path / "whole.h5")
    write, count = StoreFile.write_chunk, [0]

    def stopping(self, chunk, arrays):
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        write(self, chunk, arrays)

    monkeypatch.setattr(StoreFile, "write_chunk", stopping)
    with pytest.raises(KeyboardInterrupt):
        written(path)
    monkeypatch.undo()
    chunks = whole.chunks
    with pytest.raises(ValueError, match=rf"s\.h5: incomplete, {chunks - 2} of {chunks} chunks are missing"):
        read_structures(path)
    made, store = written(path)
    assert made == chunks - 2 and store.fingerprint() == whole.fingerprint()


def test_several_processes_write_the_same(tmp_path):
    _, alone = written(tmp_path / "a.h5")
    _, together = written(tmp_path / "b.h5", workers=2)
    assert alone.fingerprint() == together.fingerprint() and not together.unwritten()


def test_a_full_disk_is_named_before_anything_is_computed(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ValueError, match=r"s\.h5: cannot write a store of .* GB there \(No space left on device\)"):
        written(tmp_path / "s.h5")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_in_between(tmp_path, monkeypatch):
    path, write, count = tmp_path / "s.h5", StoreFile._write, [0]

    def filling(self, place, array):
        count[0] += 1
        if count[0] > 20:
            raise OSError(28, "No space left on device")
        write(self, place, array)

    monkeypatch.setattr(StoreFile, "_write", filling)
    with pytest.raises(ValueError, match=r"chunk 1 \(structures 2 to 3\) cannot be written \(No space left"):
        written(path)
    monkeypatch.undo()
    assert 0 not in StoreFile(path).unwritten() and 1 in StoreFile(path).unwritten()
    assert written(path)[0] == StoreFile(path).chunks - 1


def test_a_store_of_another_version(tmp_path):
    written(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(ValueError, match=r"s\.h5: version 99 of the format; this mlip reads version 1"):
        read_structures(tmp_path / "s.h5")


def test_a_store_that_is_cut_off(tmp_path):
    path = tmp_path / "s.h5"
    _, store = written(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"s\.h5: (not an HDF5 file, or damaged|the file ends too early)"):
        for name in store.quantities:
            StoreFile(path).read_chunk(name, 0)
            StoreFile(path).read_chunk(name, store.chunks - 1)


def test_other_data_are_not_overwritten_unasked(tmp_path):
    path = tmp_path / "s.h5"
    written(path)
    with pytest.raises(ValueError, match=r"now it would be other data; structures 4 instead of .* --overwrite"):
        written(path, labelled()[:4])
    with pytest.raises(ValueError, match=r"now it would be chunk 3 instead of 2\. Replace it: --overwrite"):
        written(path, chunk=3)
    assert written(path, labelled()[:4], overwrite=True)[0] == 2
    (tmp_path / "text.h5").write_text("something of yours", encoding="utf-8")
    with pytest.raises(ValueError, match=r"text\.h5: exists already, and is no store to go on with"):
        written(tmp_path / "text.h5")
