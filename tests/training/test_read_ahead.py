"""Batches that are made in the background are the batches."""

import threading

import numpy as np
import pytest
import torch
from physics import zoo
from physics.laws import same

from mlip.data.store_file import StoreFile
from mlip.descriptors.store import FeatureStore
from mlip.model.weights import WeightTable
from mlip.storing import content_of, write_store
from mlip.structure import Structure
from mlip.training.examples import Examples
from mlip.training.loop import Plan, Stage, Trainer
from mlip.training.loss import Loss, Term
from mlip.training.optimizers import constant, make_optimizer
from mlip.training.pools import Source
from mlip.training.read_ahead import ReadAhead
from mlip.training.step import Step
from mlip.training.streamed import StreamedExamples, Window

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LOSS = Loss(Term(1.0), Term(1.0), Term(0.0))
on_a_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


def structures(count=12):
    made = []
    for n in range(count):
        s = zoo.MIXED[n % len(zoo.MIXED)]
        generator = np.random.default_rng(n)
        forces = generator.normal(size=(len(s), 3))
        made.append(Structure(s.numbers, s.positions, s.cell, s.pbc, float(generator.normal()), forces))
    return made


def in_memory(potential, device=CPU, **more):
    examples = Examples(structures(), potential.cutoff, device)
    examples.store = FeatureStore(potential.descriptor, examples.atoms, torch.float64, **more)
    return examples


def streamed(potential, path, device=CPU):
    write_store(path, structures(), content_of(potential.descriptor, features=True, dtype="float64"), chunk=3)
    source = Source(StoreFile(path), device, potential.descriptor)
    whole = source.read(np.arange(12))
    return StreamedExamples(Window(source), np.arange(12), int(0.3 * source.bytes_per_structure.sum()), whole.known)


def trained(potential, examples, folder):
    """Losses of two epochs."""
    folder.mkdir()
    plan = Plan(epochs=2, batch_size=5, stages=(Stage(1, LOSS, 1e-2),), schedule=constant())
    make = lambda weights: make_optimizer("adam", weights=weights, learning_rate=1e-2)  # noqa: E731
    rows = []
    trainer = Trainer(potential, make, examples, Examples([], potential.cutoff, examples.device), plan, folder)
    trainer.run(on_epoch=rows.append, quiet=True)
    return [row["train_loss"] for row in rows], potential.networks.state_dict()


def test_batches_in_any_order_and_each_found_once():
    examples = in_memory(zoo.POTENTIALS["mixed cutoffs"]())
    ahead, asked = ReadAhead(CPU), []

    def find(chosen):
        assert threading.current_thread() is not threading.main_thread()
        asked.append(chosen)
        return examples.found(chosen)

    for chosen in ([3, 1], [0, 2], [3, 1]):
        ahead.begin(chosen, find)
    for chosen in ([0, 2], [3, 1], [4]):
        batch, labels, features = ahead.taken(chosen, find)
        expected = examples.found(chosen)
        assert all(torch.equal(a, b) for a, b in zip(batch, expected[0], strict=True))
        assert all(torch.equal(a, b) for a, b in zip(labels[:2], expected[1][:2], strict=True))
        assert torch.equal(features.features, expected[2].features)
    assert asked == [[3, 1], [0, 2], [4]]


def test_what_goes_wrong_in_the_background_is_told():
    ahead = ReadAhead(CPU)

    def find(chosen):
        raise ValueError("chunk 3 is damaged")

    ahead.begin([1], find)
    with pytest.raises(ValueError, match="chunk 3 is damaged"):
        ahead.taken([1], find)


@pytest.mark.parametrize("kind", ["in memory", "streamed"])
def test_a_training_is_the_same_bit_for_bit(kind, tmp_path):
    found = []
    for name in ("at once", "ahead"):
        potential = zoo.POTENTIALS["mixed cutoffs"]()
        examples = in_memory(potential) if kind == "in memory" else streamed(potential, tmp_path / f"{name}.h5")
        if name == "ahead":
            examples.ahead = ReadAhead(CPU)
        found.append(trained(potential, examples, tmp_path / name))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(a, b) for a, b in zip(found[0][1].values(), found[1][1].values(), strict=True))


@pytest.mark.parametrize("name", ["mixed cutoffs", "per center"])
def test_gathered_rows_make_the_same_products(name):
    """In torch alone, also of several vectors, and after a move."""
    potential = zoo.POTENTIALS[name]()
    examples = in_memory(potential)
    kept = examples.store.take([4, 0, 2])
    there = kept.gathered().moved(torch.clone)
    g = torch.randn(2, *kept.features.shape, dtype=torch.float64)
    v = torch.randn(2, examples.atoms.take([4, 0, 2]).pairs.shape[1], 3, dtype=torch.float64)
    assert torch.equal(there.features, kept.features)
    torch.testing.assert_close(there.pair_gradients(g), kept.pair_gradients(g), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(there.feature_changes(v), kept.feature_changes(v), rtol=1e-12, atol=1e-12)


@pytest.mark.cuda
@on_a_card
@pytest.mark.parametrize("kind", ["device", "host", "streamed"])
def test_on_a_card_a_step_is_that_of_the_cpu(kind, tmp_path):
    """Batches begun ahead, out of order, and taken while others are on their way."""
    chosen = [[4, 0, 2], [1, 3, 5], [11, 6]]

    def gradients(device, examples, potential):
        step, found = Step(potential, WeightTable(potential.networks)), []
        for n, part in enumerate(chosen):
            if n + 1 < len(chosen):
                examples.read_ahead(chosen[n + 1])
            batch, labels, features = examples.take(part)
            assert batch.pairs.device.type == labels.energy.device.type == features.features.device.type == device.type
            step(batch, labels, LOSS, forces=True, stress=False, features=features)
            found.append(step.weights.weights.grad.clone().cpu())
        return found

    potential = zoo.POTENTIALS["mixed cutoffs"]()
    expected = gradients(CPU, in_memory(potential), potential)
    potential = zoo.POTENTIALS["mixed cutoffs"]().to(CUDA)
    if kind == "streamed":
        examples = streamed(potential, tmp_path / "s.h5", CUDA)
    else:
        examples = in_memory(potential, CUDA, on_host=kind == "host")
        assert examples.store.features.device.type == ("cpu" if kind == "host" else "cuda")
    for n, (a, b) in enumerate(zip(gradients(CUDA, examples, potential), expected, strict=True)):
        same(a, b, f"gradient of batch {n}", 1e-10)


@pytest.mark.cuda
@on_a_card
def test_memory_of_batches_ahead_is_not_used_too_early():
    """Many batches through the same memory, each of which a slow product reads late."""
    potential = zoo.POTENTIALS["mixed cutoffs"]().to(CUDA)
    examples = in_memory(potential, CUDA, on_host=True)
    slow = torch.randn(4096, 4096, device=CUDA)
    found, chosen = [], [[n % 12, (n + 5) % 12] for n in range(60)]
    for n, part in enumerate(chosen):
        if n + 1 < len(chosen):
            examples.read_ahead(chosen[n + 1])
        batch = examples.take(part)[0]
        slow = slow @ slow / 4096
        found.append(batch.positions.sum())
        del batch
    for part, total in zip(chosen, found, strict=True):
        assert float(total) == pytest.approx(float(examples.found(part)[0].positions.sum()), abs=1e-9)
