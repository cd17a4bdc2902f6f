"""Streamed training is training: the same batches give the same numbers, bit for bit."""

import math

import numpy as np
import pytest
import torch
from physics import zoo

from mlip.data.read import read_structures
from mlip.data.store_file import StoreFile
from mlip.model.moments import moments_of
from mlip.model.targets import less_pair_term
from mlip.storing import content_of, write_store
from mlip.structure import Structure
from mlip.training.examples import Examples
from mlip.training.loop import Plan, Stage, Trainer
from mlip.training.loss import Loss, Term
from mlip.training.loss_weights import lengths_of
from mlip.training.optimizers import constant, make_optimizer
from mlip.training.pools import Source
from mlip.training.statistics import statistics_of
from mlip.training.streamed import StreamedExamples, Window

CPU = torch.device("cpu")
LOSS = Loss(Term(1.0), Term(1.0), Term(1.0))


@pytest.fixture
def structures():
    """Two dozen structures, periodic and not, with labels that are partly missing."""
    made = []
    for n in range(24):
        s = zoo.MIXED[n % len(zoo.MIXED)]
        generator = np.random.default_rng(n)
        positions = s.positions + 0.02 * generator.standard_normal(s.positions.shape)
        forces = generator.normal(size=(len(s), 3)) if n % 5 else None
        made.append(Structure(s.numbers, positions, s.cell, s.pbc, float(generator.normal()), forces))
    return made


def source_of(path, structures, potential, *, features, chunk=4, **more):
    content = content_of(potential.descriptor, features=features, dtype="float64")
    write_store(path, structures, content, chunk=chunk)
    return Source(StoreFile(path), CPU, potential.descriptor if features else None, **more)


def streamed_of(source, places, share=0.3):
    pool = int(share * source.bytes_per_structure.sum())
    whole = source.read(np.sort(places))
    return StreamedExamples(Window(source), np.asarray(places), pool, whole.known)


class InMemory(Examples):
    """All structures of a store at once, of which some places make the part; epochs go as those of `like`."""

    def __init__(self, source, places, like):
        whole = source.read(np.arange(len(source.file)))
        self._set(whole.atoms, whole.labels, CPU)
        self.store, self.places, self.like = whole.store, places, like

    def __len__(self):
        return len(self.places)

    def order(self, generator):
        return self.like.order(generator)

    def take(self, structures):
        return super().take(self.places[structures].tolist())


def trained(potential, examples, folder, epochs=2, batch=5):
    plan = Plan(epochs=epochs, batch_size=batch, stages=(Stage(1, LOSS, 1e-2),), schedule=constant())
    none = Examples([], potential.cutoff, CPU)
    trainer = Trainer(
        potential,
        lambda weights: make_optimizer("adam", weights=weights, learning_rate=1e-2),
        examples,
        none,
        plan,
        folder,
    )
    losses = [terms.total for terms in trainer.steps_at([1e-2] * (epochs * -(-len(examples) // batch)))]
    return losses, potential.networks.state_dict()


@pytest.mark.parametrize("features", [False, True], ids=["computed", "stored"])
@pytest.mark.parametrize("name", ["mixed cutoffs", "wide"])
def test_the_same_order_gives_the_same_weights(tmp_path, structures, features, name):
    places = np.random.default_rng(3).permutation(len(structures))[:21]
    source = source_of(tmp_path / "s.h5", structures, zoo.POTENTIALS[name](), features=features)
    streamed = streamed_of(source, places)
    assert streamed.pools >= 3
    found = trained(zoo.POTENTIALS[name](), streamed, tmp_path)
    expected = trained(zoo.POTENTIALS[name](), InMemory(source, places, streamed), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(found[0], expected[0], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(found[1].values(), expected[1].values(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(found[0][:4], found[0][5:9], strict=False))


def test_examples_of_a_store_are_those_of_its_structures(tmp_path, structures):
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    source = source_of(tmp_path / "s.h5", structures, potential, features=True)
    ours, theirs = (
        source.read(np.array([2, 3, 9, 20])),
        Examples([read_structures(tmp_path / "s.h5")[n] for n in (2, 3, 9, 20)], potential.cutoff, CPU),
    )
    for one, other in zip(ours.atoms.whole, theirs.atoms.whole, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(ours.labels[:3], theirs.labels[:3], strict=True):
        assert torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))
    assert torch.equal(ours.known, theirs.known)


def test_every_structure_comes_once_in_an_epoch_and_orders_differ(tmp_path, structures):
    source = source_of(tmp_path / "s.h5", structures, zoo.POTENTIALS["radial"](), features=False)
    streamed = streamed_of(source, np.arange(3, 24))

    def order(seed):
        return streamed.order(torch.Generator().manual_seed(seed))

    assert sorted(order(1)) == list(range(21)) and order(1) != order(2)
    other = streamed_of(source, np.arange(3, 24))
    other.order(torch.Generator().manual_seed(5))
    assert other.order(torch.Generator().manual_seed(1)) == order(1), "it depends on nothing that was before"
    chunks = list(streamed.chunks(pairs_at_once=300))
    assert sorted(n for chunk in chunks for n in chunk) == list(range(21)) and len(chunks) > 2


def test_chunks_of_some_structures_hold_these(tmp_path, structures):
    source = source_of(tmp_path / "s.h5", structures, zoo.POTENTIALS["radial"](), features=False)
    streamed = streamed_of(source, np.arange(3, 24))
    chosen = [20, 0, 7, 8, 13]
    found = [n for chunk in streamed.chunks(chosen, 300) for n in chunk]
    assert found == sorted(chosen), "as the store has them"
    assert list(streamed.chunks([])) == []


def test_no_more_than_two_pools_are_in_memory(tmp_path, monkeypatch, structures):
    source = source_of(tmp_path / "s.h5", structures, zoo.POTENTIALS["radial"](), features=False, chunk=2)
    streamed = streamed_of(source, np.arange(24), share=0.2)
    assert streamed.pools > 4
    window = streamed.window
    for _ in range(2):
        order = streamed.order(torch.Generator().manual_seed(1))
        for first in range(0, 24, 3):
            streamed.take(order[first : first + 3])
            assert len(window._loaded) <= 2
    sizes = source.bytes_per_structure
    assert all(sizes[places].sum() <= streamed.pool_bytes for places in streamed._plan)


def test_what_a_pool_takes_is_what_was_counted(tmp_path, structures):
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    source = source_of(tmp_path / "s.h5", structures, potential, features=True)
    pool = source.read(np.arange(24))
    arrays = [*pool.atoms.whole, *pool.labels[:3], pool.store.features]
    arrays += [value for rows in pool.store.rows for value in (rows.pair, rows.center, rows.jacobian)]
    taken = sum(array.nbytes for array in arrays)
    assert 0.95 * taken <= source.bytes_per_structure.sum() <= 1.1 * taken


def test_the_repulsion_is_taken_from_the_labels(tmp_path, structures):
    potential = zoo.POTENTIALS["repulsion"]()
    source = source_of(tmp_path / "s.h5", structures, potential, features=False, pair_terms=potential.pair_terms)
    found = source.read(np.arange(24)).labels
    expected = Examples(less_pair_term(structures, potential.repulsion), potential.cutoff, CPU).labels
    for one, other in zip(found[:3], expected[:3], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("features", [False, True], ids=["computed", "stored"])
def test_statistics_of_one_pass_are_those_of_everything(tmp_path, structures, features):
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    source = source_of(tmp_path / "s.h5", structures, potential, features=features)
    found = statistics_of(streamed_of(source, np.arange(24)), potential.descriptor)
    whole = Examples(structures, potential.cutoff, CPU)
    batch, _, _ = whole.take(range(24))
    lengths = lengths_of(batch)
    assert found.lengths == pytest.approx(lengths, rel=1e-12)
    assert found.shortest == pytest.approx(whole.shortest, rel=1e-14)
    assert sorted(found.energies) == sorted(s.energy for s in structures)
    assert sorted(found.squares) == pytest.approx(
        sorted((s.forces**2).mean() for s in structures if s.forces is not None)
    )
    assert found.counts.sum() == len(batch.numbers)
    values = potential.descriptor(batch.numbers, batch.pairs, _vectors(batch)).detach()
    for z, moments in zip(potential.descriptor.elements, found.moments, strict=True):
        expected = moments_of(values[batch.numbers == z])
        for one, other in zip(moments, expected, strict=True):
            assert np.allclose(one, other, rtol=1e-10, atol=1e-12)


def _vectors(batch):
    from mlip.batch import pair_vectors

    return pair_vectors(batch)


def test_moments_in_parts_are_those_of_the_whole():
    values = 1e3 + torch.randn(500, 4, dtype=torch.float64)
    parts = [moments_of(part) for part in values.split([1, 0, 300, 199])]
    found = parts[0]
    for part in parts[1:]:
        found = found.with_those_of(part)
    for one, other in zip(found, moments_of(values), strict=True):
        assert np.allclose(one, other, rtol=1e-12)
    assert math.isclose(float(found.deviation.mean()), float(values.std(dim=0, correction=0).mean()), rel_tol=1e-11)
