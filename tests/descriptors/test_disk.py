"""Arrays in a file that are used where they lie."""

import os

import numpy as np
import pytest
import torch
from physics import zoo

from mlip.batch import Collection, to_batch
from mlip.descriptors import store
from mlip.descriptors.disk import ALIGNMENT, ArrayFile, bytes_of, file_in_memory, file_on_disk
from mlip.descriptors.store import FeatureStore, shapes_of

FLOAT = np.dtype(np.float32)


SHAPES = {"x": (3, 2), "none": (0, 3), "y": (1000, 4)}


def disk_and_memory(tmp_path):
    return file_on_disk(tmp_path / "a", bytes_of(SHAPES, FLOAT)), file_in_memory(bytes_of(SHAPES, FLOAT))


def test_who_opens_the_same_file_has_the_same_arrays(tmp_path):
    for made in disk_and_memory(tmp_path):
        other = ArrayFile(os.open(f"/proc/self/fd/{made}", os.O_RDWR), SHAPES, FLOAT)
        file = ArrayFile(made, SHAPES, FLOAT)
        file.arrays["x"][:] = np.arange(6).reshape(3, 2)
        file.arrays["y"][:] = 7
        file.read_ahead("y", 10, 20)
        file.read_ahead("none", 0, 0)
        assert np.array_equal(other.arrays["x"], np.arange(6).reshape(3, 2)) and np.all(other.arrays["y"] == 7)
        assert {name: array.shape for name, array in other.arrays.items()} == SHAPES
        assert all(array.ctypes.data % ALIGNMENT == 0 for array in other.arrays.values())


def test_a_full_disk_is_named_before_anything_is_computed(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ValueError, match=r"a: cannot keep 0\.40 GB of features there \(No space left"):
        file_on_disk(tmp_path / "a", 4 * 10**8)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="cannot keep"):
        file_on_disk(tmp_path / "no" / "a", 400)


def test_a_store_on_disk_has_the_numbers_of_one_in_memory(tmp_path):
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    atoms = Collection([to_batch(structure, potential.cutoff)[0] for structure in zoo.MIXED])
    memory = FeatureStore(potential.descriptor, atoms, torch.float64)
    shapes, kind = shapes_of(potential.descriptor, atoms), np.dtype(np.float64)
    file = ArrayFile(file_on_disk(tmp_path / "j", bytes_of(shapes, kind)), shapes, kind)
    disk = FeatureStore(potential.descriptor, atoms, torch.float64, file)
    disk.read_ahead([0, 3])
    assert torch.equal(memory.features, disk.features)
    for a, b in zip(memory.rows, disk.rows, strict=True):
        assert torch.equal(a.jacobian, b.jacobian)
    g = torch.randn_like(memory.features[: len(zoo.MIXED[2])])
    assert torch.equal(memory.take([2]).pair_gradients(g), disk.take([2]).pair_gradients(g))


def test_what_several_fill_in_turn_is_what_one_fills(monkeypatch):
    monkeypatch.setattr(store, "PAIRS_AT_ONCE", 20)
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    atoms = Collection([to_batch(structure, potential.cutoff)[0] for structure in zoo.MIXED])
    alone = FeatureStore(potential.descriptor, atoms, torch.float64)
    shapes, kind = shapes_of(potential.descriptor, atoms), np.dtype(np.float64)
    made = file_in_memory(bytes_of(shapes, kind))
    files = [ArrayFile(os.dup(made), shapes, kind) for _ in range(3)]
    found = []
    for n, file in enumerate(files):
        found.append(FeatureStore(potential.descriptor, atoms, torch.float64, file, turn=(n, 3)))
        assert torch.equal(found[0].features, alone.features) == (n == 2)
    os.close(made)
    for one in found:
        assert torch.equal(one.features, alone.features)
        assert all(torch.equal(a.jacobian, b.jacobian) for a, b in zip(one.rows, alone.rows, strict=True))
