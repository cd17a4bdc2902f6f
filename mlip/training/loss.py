"""The loss: a weighted sum over energy per atom, force components and stress components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from mlip.batch import AtomsBatch, Properties

FORMS = ("mse", "mae", "huber")


@dataclass(frozen=True)
class Term:
    """Weight and form of one term; `delta` is where "huber" turns from square to linear, in the term's unit.

    Raises:
        ValueError: the form is unknown.
    """

    weight: float
    form: str = "mse"
    delta: float = 0.1

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"the form of a loss term is '{self.form}'; known: {', '.join(FORMS)}")

    def __call__(self, predicted: Tensor, label: Tensor) -> Float[Tensor, ""]:
        """Mean over the components that have a label; zero where none has."""
        known = torch.isfinite(label)
        error = torch.where(known, predicted - label, 0.0)
        if self.form == "mse":
            values = error**2
        elif self.form == "mae":
            values = error.abs()
        else:
            values = functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=self.delta)
        return values.sum() / known.sum().clamp(min=1)


class LossTerms(NamedTuple):
    """The loss and its parts, before their weights."""

    total: Float[Tensor, ""]
    energy: Float[Tensor, ""]  # of eV per atom
    forces: Float[Tensor, ""]  # of eV/Å
    stress: Float[Tensor, ""]  # of eV/Å³


@dataclass(frozen=True)
class Loss:
    r"""Weighted sum of the terms.

    .. math:: L = w_E \langle \ell((E - \hat E) / n) \rangle_{structures} + w_F \langle \ell(F - \hat F)
              \rangle_{components} + w_S \langle \ell(\sigma - \hat\sigma) \rangle_{components}

    with n atoms in a structure, and :math:`\ell` the square, the absolute value or Huber's function. Labels that are
    missing (NaN) do not count.
    """

    energy: Term
    forces: Term
    stress: Term

    def __call__(self, predicted: Properties, labels: Properties, batch: AtomsBatch) -> LossTerms:
        """The loss of a batch."""
        atoms = torch.bincount(batch.structure, minlength=len(batch.cell))
        energy = self.energy(predicted.energy / atoms, labels.energy / atoms)
        nothing = torch.zeros_like(energy)
        forces = stress = nothing
        if predicted.forces is not None and labels.forces is not None:
            forces = self.forces(predicted.forces, labels.forces)
        if predicted.stress is not None and labels.stress is not None:
            stress = self.stress(predicted.stress, labels.stress)
        total = self.energy.weight * energy + self.forces.weight * forces + self.stress.weight * stress
        return LossTerms(total, energy, forces, stress)
