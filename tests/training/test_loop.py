"""Trainings that must end well, or with the right message."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mlip.data.read import read_structures
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.parameters import angular_grid, radial_grid
from mlip.descriptors.store import FeatureStore
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential
from mlip.model.reference import fitted_references
from mlip.model.scaling import fitted_scaling
from mlip.training.examples import Examples
from mlip.training.loop import Plan, Stage, Trainer
from mlip.training.loss import Loss, Term
from mlip.training.optimizers import constant, make_optimizer
from mlip.training.saving import METRICS_FILE
from mlip.training.validation import evaluate_examples

CPU = torch.device("cpu")
ELEMENTS = [1, 6, 8]


@pytest.fixture(scope="module")
def ethanol(request):
    return read_structures(request.config.rootpath / "data" / "ethanol_xtb.npz")[:200:40]


def make_trainer(
    structures, folder, *, valid=(), energy=1.0, forces=1.0, stress=0.0, rate=5e-3, optimizer="adam", **plan
):
    functions = [
        *radial_grid(ELEMENTS, cutoff=4.5, count=8),
        *angular_grid(ELEMENTS, cutoff=3.5, shells=2, angles=4, eta=1.6, zeta=8.0),
    ]
    descriptor = ACSF(ELEMENTS, functions)
    train, held = (Examples(part, descriptor.cutoff, CPU) for part in (structures, valid))
    train.store = FeatureStore(descriptor, train.atoms, torch.float64)
    numbers = train.atoms.whole.numbers
    features = train.store.features
    networks = AtomicNetworks(len(functions), [[16]] * 3, ["silu"] * 3, torch.Generator().manual_seed(0)).double()
    potential = Potential(
        descriptor,
        fitted_scaling([features[numbers == z] for z in ELEMENTS], "half"),
        networks,
        fitted_references(structures, ELEMENTS, "least_squares"),
        energy_scale=1.0,
    )
    loss = Loss(Term(energy), Term(forces), Term(stress))
    options = {"epochs": 150, "batch_size": 5, "stages": (Stage(1, loss, rate),), "schedule": constant(), **plan}
    return Trainer(
        potential, lambda weights: make_optimizer(optimizer, weights, rate), train, held, Plan(**options), folder
    )


def errors(trainer, structures):
    examples = Examples(structures, trainer.potential.cutoff, CPU)
    return evaluate_examples(trainer.potential, examples)[1].results()


def rows_of(folder):
    with (folder / METRICS_FILE).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_overfits_a_few_structures(ethanol, tmp_path):
    trainer = make_trainer(ethanol, tmp_path, energy=10.0, epochs=400, rate=1e-2)
    before = errors(trainer, ethanol)
    trainer.run(quiet=True)
    after = errors(trainer, ethanol)
    assert after["energy_rmse_per_atom"] < 0.002 and after["energy_rmse"] < 0.1 * before["energy_rmse"]
    assert after["forces_rmse"] < 0.15 * before["forces_rmse"]


def test_energies_alone(ethanol, tmp_path):
    bare = [replace(structure, forces=None) for structure in ethanol]
    trainer = make_trainer(bare, tmp_path, epochs=200)
    trainer.run(quiet=True)
    assert errors(trainer, ethanol)["energy_rmse"] < 0.01
    assert {float(row["train_forces_loss"]) for row in rows_of(tmp_path)} == {0.0}


def test_forces_alone(ethanol, tmp_path):
    bare = [replace(structure, energy=None) for structure in ethanol]
    trainer = make_trainer(bare, tmp_path, epochs=60)
    before = errors(trainer, ethanol)
    trainer.run(quiet=True)
    assert errors(trainer, ethanol)["forces_rmse"] < 0.3 * before["forces_rmse"]
    assert {float(row["train_energy_loss"]) for row in rows_of(tmp_path)} == {0.0}


def test_some_structures_without_some_labels(ethanol, tmp_path):
    mixed = [replace(s, energy=None) if n % 2 else replace(s, forces=None) for n, s in enumerate(ethanol)]
    trainer = make_trainer(mixed, tmp_path, epochs=60, batch_size=1)
    before = errors(trainer, mixed)
    trainer.run(quiet=True)
    after = errors(trainer, mixed)
    assert after["forces_rmse"] < 0.5 * before["forces_rmse"] and after["energy_rmse"] < before["energy_rmse"]


def test_kept_features_train_as_computed_ones(ethanol, tmp_path):
    kept, computed = (make_trainer(ethanol, tmp_path / name, epochs=3) for name in ("kept", "computed"))
    computed.train_examples.store = None
    for trainer in (kept, computed):
        trainer.saving.folder.mkdir()
        trainer.run(quiet=True)
    for a, b in zip(kept.potential.parameters(), computed.potential.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-10)


def test_best_weights_on_the_validation_set_are_kept(ethanol, tmp_path):
    trainer = make_trainer(ethanol[:3], tmp_path, valid=ethanol[3:], epochs=25, rate=0.05)
    trainer.run(quiet=True)
    losses = [float(row["valid_loss"]) for row in rows_of(tmp_path)]
    assert trainer.progress.best_epoch == 1 + int(np.argmin(losses)) < 25
    loss, _ = evaluate_examples(trainer.potential, trainer.valid_examples, trainer.stage.loss)
    assert loss == pytest.approx(min(losses), rel=1e-12)


def test_line_searches_on_all_structures_never_raise_the_loss(ethanol, tmp_path):
    """Gradient and loss agree, and belong to one and the same batch, or no step would be found."""
    trainer = make_trainer(ethanol, tmp_path, optimizer="lbfgs", rate=1.0, batch_size=None, epochs=8)
    trainer.run(quiet=True)
    losses = [float(row["train_loss"]) for row in rows_of(tmp_path)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.01 * losses[0]
    state = trainer.optimizer.state[trainer.step.weights.weights]
    assert state["n_iter"] == 8 * 20 and len(state["old_dirs"]) > 90


def test_average_of_the_last_epochs(ethanol, tmp_path):
    """Without validation structures the average is kept: that of the weights after epochs 5, 6, 7 and 8."""
    trainer = make_trainer(ethanol, tmp_path, epochs=8, average_last=0.5)
    seen = []
    trainer.run(quiet=True, on_epoch=lambda row: seen.append(trainer.step.weights.weights.detach().clone()))
    found = trainer.step.weights.weights.detach()
    assert torch.allclose(found, torch.stack(seen[4:]).mean(dim=0), rtol=1e-12, atol=1e-13)
    assert not torch.allclose(found, seen[-1], rtol=1e-3)


@pytest.mark.parametrize("rate", [0.05, 1e-4], ids=["after a bad end", "after too short a training"])
def test_weights_made_at_the_end_are_kept_only_if_they_are_better(ethanol, tmp_path, rate):
    trainer = make_trainer(
        ethanol[:3], tmp_path, valid=ethanol[3:], epochs=6, rate=rate, average_last=1.0, solve_last_layer=True
    )
    trainer.run(quiet=True)
    losses = [float(row["valid_loss"]) for row in rows_of(tmp_path)]
    loss, _ = evaluate_examples(trainer.potential, trainer.valid_examples, trainer.stage.loss)
    assert loss == pytest.approx(trainer.progress.best_loss, rel=1e-12)
    assert loss < min(losses)


def test_stops_when_nothing_improves(ethanol, tmp_path):
    trainer = make_trainer(ethanol[:3], tmp_path, valid=ethanol[3:], epochs=50, patience=3, min_delta=1e9)
    trainer.run(quiet=True)
    assert len(rows_of(tmp_path)) == 4 and trainer.progress.best_epoch == 1


def test_second_stage_has_its_own_loss_and_rate(ethanol, tmp_path):
    stages = (
        Stage(1, Loss(Term(1.0), Term(1.0), Term(0.0)), 1e-3),
        Stage(3, Loss(Term(9.0), Term(0.0), Term(0.0)), 1e-4),
    )
    make_trainer(ethanol, tmp_path, epochs=4, stages=stages).run(quiet=True)
    rows = [{key: float(value) for key, value in row.items()} for row in rows_of(tmp_path)]
    assert [row["learning_rate"] for row in rows] == [1e-3, 1e-3, 1e-4, 1e-4]
    for row, (energy, forces) in zip(rows, [(1, 1), (1, 1), (9, 0), (9, 0)], strict=True):
        expected = energy * row["train_energy_loss"] + forces * row["train_forces_loss"]
        assert row["train_loss"] == pytest.approx(expected, rel=1e-12)


def test_averaged_weights_are_those_that_are_kept(ethanol, tmp_path):
    trainer = make_trainer(ethanol, tmp_path, epochs=5, ema=0.8)
    trainer.run(quiet=True)
    for name, value in trainer.potential.networks.named_parameters():
        assert torch.equal(value, trainer.average.weights[name])


def test_gradient_clip_limits_the_step(ethanol, tmp_path):
    trainer = make_trainer(ethanol, tmp_path, epochs=1, gradient_clip=1e-3)
    trainer.run(quiet=True)
    squares = [float((p.grad**2).sum()) for p in trainer.potential.networks.parameters()]
    assert math.sqrt(sum(squares)) == pytest.approx(1e-3, rel=1e-3)


def test_exploding_loss_is_an_error(ethanol, tmp_path):
    with pytest.raises(ValueError, match=r"the loss is (nan|inf) in epoch \d+; the last checkpoint is kept"):
        make_trainer(ethanol, tmp_path, rate=1e200).run(quiet=True)


def test_callbacks(ethanol, tmp_path):
    rows, saved = [], []
    make_trainer(ethanol, tmp_path, epochs=3).run(on_save=lambda: saved.append(1), on_epoch=rows.append, quiet=True)
    assert [row["epoch"] for row in rows] == [1, 2, 3] and len(saved) == 2
