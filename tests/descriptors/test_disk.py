"""Arrays in a file that are used where they lie."""

import os

import h5py
import numpy as np
import pytest
import torch
from physics import zoo

from mlip.batch import Collection, to_batch
from mlip.descriptors.disk import ArrayFile
from mlip.descriptors.store import FeatureStore

FLOAT = np.dtype(np.float32)


def test_hdf5_finds_what_was_written_to_the_arrays(tmp_path):
    file = ArrayFile(tmp_path / "a.h5", {"x": (3, 2), "none": (0, 3), "y": (1000, 4)}, FLOAT)
    file.arrays["x"][:] = np.arange(6).reshape(3, 2)
    file.arrays["y"][:] = 7
    file.read_ahead("y", 10, 20)
    file.read_ahead("none", 0, 0)
    for array in (file.arrays["x"], file.arrays["y"]):
        array.flush()
    with h5py.File(tmp_path / "a.h5") as found:
        assert np.array_equal(found["x"], np.arange(6).reshape(3, 2)) and np.all(found["y"][:] == 7)
        assert found["none"].shape == (0, 3)


def test_a_full_disk_is_named_before_anything_is_computed(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ValueError, match=r"a\.h5: cannot keep 0\.40 GB of features there \(No space left"):
        ArrayFile(tmp_path / "a.h5", {"x": (10**5, 1000)}, FLOAT)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="cannot keep"):
        ArrayFile(tmp_path / "no" / "a.h5", {"x": (10, 10)}, FLOAT)


def test_a_store_on_disk_has_the_numbers_of_one_in_memory(tmp_path):
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    atoms = Collection([to_batch(structure, potential.cutoff)[0] for structure in zoo.MIXED])
    memory = FeatureStore(potential.descriptor, atoms, torch.float64)
    disk = FeatureStore(potential.descriptor, atoms, torch.float64, tmp_path / "j.h5")
    disk.read_ahead([0, 3])
    for a, b in zip(memory.rows, disk.rows, strict=True):
        assert torch.equal(a.jacobian, b.jacobian)
    g = torch.randn_like(memory.features[: len(zoo.MIXED[2])])
    assert torch.equal(memory.take([2]).pair_gradients(g), disk.take([2]).pair_gradients(g))
