"""The training loop, with everything that makes a stopped run go on as if it had not been stopped."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from mlip.device import denormals_are_zero
from mlip.model.potential import Potential
from mlip.model.weights import WeightTable
from mlip.stopping import Stopped, StopSignals
from mlip.training.batch_loss import BatchLoss
from mlip.training.distributed import ALONE, Ranks, Wish
from mlip.training.examples import Examples
from mlip.training.last_layer import solve_last_layers
from mlip.training.loss import Loss, LossTerms
from mlip.training.members import OwnMembers
from mlip.training.metrics_file import summary
from mlip.training.optimizers import AveragedWeights, Plateau
from mlip.training.plan import Plan, Progress, Stage
from mlip.training.saving import Saving
from mlip.training.step import Step
from mlip.training.validation import evaluate_examples

logger = logging.getLogger(__name__)


class Trainer:
    """Fits the networks of a potential; the run folder always holds what is needed to go on.

    `optimizer` makes one for the weights, `plan` says what is done, `folder` is where checkpoints and metrics go.
    """

    def __init__(
        self,
        potential: Potential,
        optimizer: Callable[[WeightTable], torch.optim.Optimizer],
        train: Examples,
        valid: Examples,
        plan: Plan,
        folder: Path,
        ranks: Ranks = ALONE,
    ) -> None:
        self.potential, self.plan, self.ranks = potential, plan, ranks
        self.saving, self.signals = Saving(folder, plan.checkpoint_seconds), StopSignals()
        self.own = OwnMembers(potential, ranks, plan.members_by_rank)
        self.step = Step(self.own.mine, self.own.weights)
        self.optimizer = optimizer(self.step.weights)
        self.own.join(self.optimizer)
        self.train_examples, self.valid_examples = train, valid
        networks = self.own.mine.networks
        self.average = AveragedWeights(networks, plan.ema) if plan.ema else None
        self.last_average = AveragedWeights(networks, None) if plan.average_last else None
        self.progress = Progress()
        self.best = self._weights()
        self._began = time.monotonic()

    def run(
        self,
        *,
        on_save: Callable[[], None] = lambda: None,
        on_epoch: Callable[[Mapping[str, float]], None] = lambda row: None,
        quiet: bool = False,
    ) -> None:
        """Train to the end of the plan; afterwards the potential has its best weights.

        `on_save` is called before each checkpoint, `on_epoch` with each row of metrics.

        Raises:
            Stopped: SIGINT, SIGTERM or SIGUSR1 came; the state is saved and `resume` goes on from it.
            ValueError: the loss is not a finite number.
        """
        bar = tqdm(
            total=self.plan.epochs,
            initial=self.progress.epoch - 1,
            unit="epoch",
            disable=quiet or not self.ranks.first,
            dynamic_ncols=True,
        )
        with self.signals, bar:
            if self.progress == Progress():
                self._save(on_save)
            while self.progress.epoch <= self.plan.epochs and not self._out_of_patience():
                row = self._epoch(on_save)
                if self.ranks.first:
                    self.saving.append(row)
                    on_epoch(row)
                bar.update()
                bar.set_postfix_str(summary(row))
                self._save_if_due(on_save)
            if not self.progress.finished:
                self._finish()
            self._save(on_save)
            if number := self.ranks.agreed(self._wish()).signal:
                raise Stopped(number, "after the last epoch")
        self.potential.networks.load_state_dict(self.best)

    def resume(self) -> None:
        """Go on from the newest whole checkpoint in the run folder.

        Raises:
            ValueError: there is none.
        """
        state = self.saving.newest()
        self.progress = Progress(**{**state["progress"], "sums": tuple(state["progress"]["sums"])})
        self.potential.networks.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(self.own.part_of_state(state["optimizer"]))
        self.best = state["best"]
        for name, average in self._averages().items():
            average.restore({**state[name], "weights": self.own.part(state[name]["weights"])})
        if isinstance(self.plan.schedule, Plateau):
            self.plan.schedule.restore(state["schedule"])
        self._began = time.monotonic() - self.progress.seconds
        self.ranks.wait()  # until all have read
        if self.ranks.first:
            self.saving.forget_from(self.progress.epoch)

    def steps_at(self, rates: Iterable[float]) -> Iterator[LossTerms]:
        """A step with each of these rates, through as many epochs as it takes; nothing is validated or saved."""
        order: list[int] = []
        size = self.plan.batch_size or len(self.train_examples)
        for rate in rates:
            order = order or self._order()
            yield self._step(order[:size], rate)
            order = order[size:]
            if not order:
                self.progress = replace(self.progress, epoch=self.progress.epoch + 1)

    @property
    def stage(self) -> Stage:
        """The stage of the epoch under way."""
        return [stage for stage in self.plan.stages if stage.first_epoch <= self.progress.epoch][-1]

    @property
    def _judge(self) -> Loss:
        """The loss on validation structures that decides what is best."""
        loss = self.stage.loss
        if self.train_examples.has_energy:
            return loss
        return replace(loss, energy=replace(loss.energy, weight=0.0))  # what was learned leaves the energy a constant

    def _epoch(self, on_save: Callable[[], None]) -> dict[str, float]:
        """The rest of the epoch under way; returns its row of metrics."""
        order = self._order()
        if not self.own.shared:
            self.ranks.copy_of_first(self.step.weights.weights.data)  # unlike processors may round in unlike ways
        size = self.plan.batch_size or len(order)
        steps = range(0, len(order), size)
        epoch = self.progress.epoch
        if any(stage.first_epoch == epoch for stage in self.plan.stages[1:]) and self.progress.step == 0:
            self.progress = replace(self.progress, best_loss=math.inf)
            if isinstance(self.plan.schedule, Plateau):
                self.plan.schedule.forget()
        for first in steps[self.progress.step :]:
            rate = self._rate(self.progress.step / len(steps))
            following = self.ranks.share(order[first + size : first + 2 * size], self.train_examples.costs)
            self.train_examples.read_ahead(following)
            terms = self._step(order[first : first + size], rate)
            sums = tuple(a + float(b) for a, b in zip(self.progress.sums, terms, strict=True))
            self.progress = replace(self.progress, step=self.progress.step + 1, sums=sums)
            if not math.isfinite(sums[0]):
                raise ValueError(
                    f"the loss is {sums[0]} in epoch {epoch}; the last checkpoint is kept in {self.saving.folder}. "
                    "Lower training.optimizer.learning_rate or set training.gradient_clip=10"
                )
            self._save_if_due(on_save)
        row: dict[str, float] = {"epoch": epoch, "learning_rate": self._rate((len(steps) - 1) / len(steps))}
        for name, total in zip(LossTerms._fields, self.progress.sums, strict=True):
            row["train_loss" if name == "total" else f"train_{name}_loss"] = total / len(steps)
        if self.last_average and epoch > (1 - (self.plan.average_last or 0)) * self.plan.epochs:
            self.last_average.update(self.own.mine.networks)
        row |= self._validate(row["train_loss"])
        row["seconds"] = time.monotonic() - self._began
        self.progress = replace(self.progress, epoch=epoch + 1, step=0, sums=Progress.sums)
        return row

    def _rate(self, share: float) -> float:
        """Learning rate when a share of the epoch under way is done."""
        return self.stage.learning_rate * self.plan.schedule(self.progress.epoch - 1 + share)

    @denormals_are_zero()
    def _step(self, structures: list[int], rate: float) -> LossTerms:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        found: list[LossTerms] = []
        loss = BatchLoss(self.step, self.train_examples, structures, self.stage.loss, self.own, self._wish)

        def loss_and_gradient() -> float:
            """At the weights as they are; an optimizer with a line search asks several times."""
            terms = loss()
            found.append(terms)
            if self.plan.gradient_clip:
                self.step.weights.clip_gradients(self.plan.gradient_clip)
            return float(terms.total)

        self.optimizer.step(loss_and_gradient)
        if self.average:
            self.average.update(self.own.mine.networks)
        return found[0]

    def _validate(self, train_loss: float) -> dict[str, float]:
        """Errors on the validation set with the weights that would be kept, which become the best if they are."""
        self.own.collect()
        latest = self._weights()
        if self.average:
            self.potential.networks.load_state_dict(self.own.whole(self.average.weights))
        loss, row = train_loss, {}
        if len(self.valid_examples):
            loss, errors = evaluate_examples(self.potential, self.valid_examples, self._judge, self.ranks)
            row = {"valid_loss": loss, **{f"valid_{k}": v for k, v in errors.results().items() if k != "structures"}}
        if isinstance(self.plan.schedule, Plateau):
            self.plan.schedule.see(loss)
        if loss < self.progress.best_loss - self.plan.min_delta or not len(self.valid_examples):
            self.best = self._weights()
            self.progress = replace(self.progress, best_loss=loss, best_epoch=self.progress.epoch)
        self.potential.networks.load_state_dict(latest)
        return row

    def _finish(self) -> None:
        """After the last epoch: the average over the last ones, and solved last layers, each if it is better."""
        latest = self._weights()
        if self.last_average and self.last_average.steps:
            self.potential.networks.load_state_dict(self.own.whole(self.last_average.weights))
            self._keep_if_better("the average over the last epochs")
        if self.plan.solve_last_layer:
            self.potential.networks.load_state_dict(self.best)
            solve_last_layers(self.potential, self.train_examples, self.valid_examples, self.stage.loss, self.ranks)
            self._keep_if_better("the solved last layers")
        self.potential.networks.load_state_dict(latest)
        self.progress = replace(self.progress, finished=True)

    def _keep_if_better(self, what: str) -> None:
        """Make the weights as they are the best ones if the validation loss says so, or if there is none to say it."""
        if len(self.valid_examples):
            before = self.progress.best_loss
            loss, _ = evaluate_examples(self.potential, self.valid_examples, self._judge, self.ranks)
            verdict = "kept" if loss < before else "not kept"
            logger.info("%s: validation loss %.4e after %.4e, %s", what, loss, before, verdict)
            if not loss < before:
                return
            self.progress = replace(self.progress, best_loss=loss)
        self.best = self._weights()

    def _order(self) -> list[int]:
        """Structures in the order of the epoch under way, the same whenever it is asked for."""
        generator = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + self.progress.epoch)
        return self.train_examples.order(generator)

    def _out_of_patience(self) -> bool:
        waited = self.progress.epoch - 1 - max(self.progress.best_epoch, self.stage.first_epoch - 1)
        return self.plan.patience is not None and waited >= self.plan.patience

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.potential.networks.state_dict().items()}

    def _save_if_due(self, on_save: Callable[[], None]) -> None:
        """Save after a step or an epoch if it is time, and save and stop if a signal came."""
        number, due = self.ranks.agreed(self._wish())  # a signal that comes while we save is for the next time
        if number or due:
            self._save(on_save)
        if number:
            epoch, step = self.progress.epoch, self.progress.step
            raise Stopped(number, f"in epoch {epoch}" if step else f"after epoch {epoch - 1}")

    def _wish(self) -> Wish:
        return Wish(self.signals.number, self.saving.due)

    def _save(self, on_save: Callable[[], None]) -> None:
        self.progress = replace(self.progress, seconds=time.monotonic() - self._began)
        self.own.collect()
        state = self._state()  # of which every rank may have a part
        if self.ranks.first:
            on_save()  # first, since a checkpoint without the potential's fixed values cannot go on
            self.saving.save(state)

    def _state(self) -> dict[str, Any]:
        """All that is needed to go on; what `resume` reads."""
        schedule = self.plan.schedule
        averages = {name: average.state() for name, average in self._averages().items()}
        return {
            "progress": {**vars(self.progress), "sums": list(self.progress.sums)},
            "weights": self._weights(),
            "best": self.best,
            "optimizer": self.own.whole_state(self.optimizer.state_dict()),
            "average": None,
            "last_average": None,
            **{name: {**state, "weights": self.own.whole(state["weights"])} for name, state in averages.items()},
            "schedule": schedule.state() if isinstance(schedule, Plateau) else None,
        }

    def _averages(self) -> dict[str, AveragedWeights]:
        """Those that are made, by the name they have in a checkpoint."""
        both = {"average": self.average, "last_average": self.last_average}
        return {name: average for name, average in both.items() if average}
