import numpy as np
import pytest
import torch
from physics import zoo

from mlip.batch import to_batch
from mlip.descriptors.store import FeatureStore
from mlip.structure import Structure
from mlip.training.examples import Examples

CPU = torch.device("cpu")


def test_taken_structures_keep_their_order():
    examples = Examples(zoo.MIXED, 4.0, CPU)
    batch, labels, features = examples.take([4, 0])
    assert batch.numbers.tolist() == [*zoo.MIXED[4].numbers.tolist(), *zoo.MIXED[0].numbers.tolist()]
    assert features is None and torch.isnan(labels.energy).all()
    assert len(examples) == len(zoo.MIXED)
    assert examples.pairs == sum(to_batch(s, 4.0)[0].pairs.shape[1] for s in zoo.MIXED)


def test_kept_features_come_along():
    potential = zoo.POTENTIALS["radial"]()
    examples = Examples(zoo.MIXED, potential.cutoff, CPU)
    examples.store = FeatureStore(potential.descriptor, examples.atoms, torch.float64)
    assert len(examples.take([1, 2])[2].features) == len(zoo.MIXED[1]) + len(zoo.MIXED[2])


@pytest.mark.parametrize("size", [1, 100, 10**6])
def test_chunks_hold_every_structure_once(size):
    examples = Examples(zoo.MIXED, 4.0, CPU)
    chunks = list(examples.chunks(pairs_at_once=size))
    assert [s for chunk in chunks for s in chunk] == list(range(len(zoo.MIXED)))
    for chunk in chunks:
        assert len(chunk) == 1 or examples.atoms.take(chunk).pairs.shape[1] <= size


def test_labels_that_exist_anywhere_are_known():
    bare = Structure(np.array([1]), np.zeros((1, 3)))
    forces = Structure(np.array([1]), np.zeros((1, 3)), forces=np.zeros((1, 3)))
    examples = Examples([bare, forces], 3.0, CPU)
    assert (examples.has_forces, examples.has_stress) == (True, False)
    assert not Examples([bare], 3.0, CPU).has_forces


def test_unfit_structure_is_named():
    close = Structure(np.array([1, 1]), np.array([[0.0, 0, 0], [0, 0, 0.1]]), origin="data.xyz#3")
    with pytest.raises(ValueError, match=r"data\.xyz#3: atoms 0 and 1 are 0\.1 Å apart"):
        Examples([zoo.LONE_ATOM, close], 3.0, CPU)
