"""Optimizers, learning-rate schedules, and averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, AdamW, Optimizer

from mlip.model.weights import WeightTable
from mlip.training.distributed import ALONE, Ranks
from mlip.training.muon import Muon
from mlip.training.shared_soap import SharedSOAP
from mlip.training.soap import SOAP

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "soap": SOAP,
    "muon": Muon,
    "lbfgs": LBFGS,
}


def make_optimizer(
    name: str, weights: WeightTable, learning_rate: float, ranks: Ranks = ALONE, **options: Any
) -> Optimizer:
    """An optimizer by name; `options` are its own (momentum, betas, weight_decay, ...).

    Several `ranks` share its work if there is enough; what it does is the same.
    """
    if name == "soap":
        options |= {"lr": learning_rate, "sharing": weights.sharing(), "members": weights.members}
        if ranks.alone:
            return SOAP(weights.weights, weights.matrices(), **options)
        return SharedSOAP(weights.weights, weights.matrices(), ranks, **options)
    if name == "muon":
        return Muon(weights.weights, weights.matrices(), lr=learning_rate, **options)
    if name == "lbfgs":
        # Training ends with its epochs; torch's tolerances, which are absolute, would end it at the size of the loss.
        options |= {"line_search_fn": "strong_wolfe", "tolerance_grad": 0.0, "tolerance_change": 0.0}
        return LBFGS([weights.weights], lr=learning_rate, **options)
    return OPTIMIZERS[name]([weights.weights], lr=learning_rate, fused=True, **options)  # type: ignore[call-arg]


# A schedule says which share of the highest rate to use, given the epochs gone by (a fraction inside an epoch).
Schedule = Callable[[float], float]


def constant() -> Schedule:
    """The same rate throughout."""
    return lambda epochs_gone: 1.0


def cosine(total: int, warmup: float, final: float) -> Schedule:
    r"""Linear rise, then :math:`\tfrac12 (1 + \cos \pi t)` down to `final`.

    Source: Loshchilov, Hutter, ICLR 2017 (SGDR), eq. 5, one cycle.
    """

    def share(epochs_gone: float) -> float:
        if epochs_gone < warmup:
            return (epochs_gone + 0.01) / (warmup + 0.01)
        t = min(1.0, (epochs_gone - warmup) / max(total - warmup, 1e-9))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * t))

    return share


def exponential(factor: float) -> Schedule:
    """The rate falls by `factor` every epoch."""
    return lambda epochs_gone: factor ** math.floor(epochs_gone)


class Plateau:
    """The rate falls by `factor` when the validation loss has not fallen for more than `patience` epochs."""

    def __init__(self, factor: float, patience: int) -> None:
        self.factor, self.patience = factor, patience
        self.share, self.best, self.waited = 1.0, math.inf, 0

    def __call__(self, epochs_gone: float) -> float:
        """The share at this time; it depends on the losses seen, not on the time."""
        return self.share

    def see(self, loss: float) -> None:
        """Take note of the validation loss of an epoch."""
        self.waited = 0 if loss < self.best else self.waited + 1
        self.best = min(self.best, loss)
        if self.waited > self.patience:
            self.share, self.waited = self.share * self.factor, 0

    def forget(self) -> None:
        """Begin to compare anew, because losses from now on are of another kind."""
        self.best, self.waited = math.inf, 0

    def state(self) -> dict[str, float]:
        """What is needed to go on."""
        return {"share": self.share, "best": self.best, "waited": self.waited}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from `state`."""
        self.share, self.best, self.waited = state["share"], state["best"], int(state["waited"])


class AveragedWeights:
    r"""Exponential moving average of weights, or their plain average where `decay` is None.

    .. math:: \bar w \leftarrow d\,\bar w + (1 - d)\,w, \qquad d = \min\left(\text{decay}, \frac{1 + n}{10 + n}\right)
              \quad\text{or}\quad \frac{n - 1}{n}

    at the n-th update, so that the random start is soon forgotten.

    Source of the plain average: Izmailov et al., UAI 2018 (stochastic weight averaging), algorithm 1.
    """

    def __init__(self, module: nn.Module, decay: float | None) -> None:
        self.decay, self.steps = decay, 0
        self.weights = {name: value.detach().clone() for name, value in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        n = self.steps
        decay = (n - 1) / n if self.decay is None else min(self.decay, (1 + n) / (10 + n))
        for name, value in module.named_parameters():
            self.weights[name].lerp_(value, 1 - decay)

    def state(self) -> dict[str, Any]:
        """What is needed to go on."""
        return {"steps": self.steps, "weights": self.weights}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.steps = state["steps"]
        self.weights = {name: _on(value, self.weights[name]) for name, value in state["weights"].items()}


def _on(value: Tensor, like: Tensor) -> Tensor:
    return value.to(device=like.device, dtype=like.dtype)
