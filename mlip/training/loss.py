"""The loss: a weighted sum over energy per atom, force components and stress components."""

from __future__ import annotations

from collections.abc import Sequence
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
        return self.with_slope(predicted, label)[0]

    def with_slope(
        self, predicted: Tensor, label: Tensor, weights: Tensor | None = None, count: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same and its derivative by what was predicted, zero where there is no label.

        What several members of a committee predict has one dimension more than the label; their terms are added up.
        `weights` go with the components, of each member. `count` is what to divide the sum by, where the components are
        a part of those whose mean is wanted.
        """
        known = torch.isfinite(label)
        number = known.sum().clamp(min=1) if count is None else max(1, count)
        error = torch.where(known, predicted - label, 0.0)
        if self.form == "mse":
            values, slopes = error.square(), 2 * error
        elif self.form == "mae":
            values, slopes = error.abs(), error.sign()
        else:
            values = functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=self.delta)
            slopes = error.clamp(-self.delta, self.delta)
        if weights is not None:
            values, slopes = weights * values, weights * slopes
        return values.sum() / number, slopes / number


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
        return self.with_slopes(predicted, labels, batch)[0]

    def with_slopes(
        self,
        predicted: Properties,
        labels: Properties,
        batch: AtomsBatch,
        weights: Float[Tensor, "K S"] | None = None,
        known: Sequence[int] | None = None,
    ) -> tuple[LossTerms, Properties]:
        """The loss of a batch, and its derivatives by energy, forces and stress; None where nothing was predicted.

        Predictions of a committee have its K members first; the loss is the sum of theirs, in each of which a structure
        counts as `weights` say. `known` are the numbers of energies, force and stress components with a label to divide
        the sums by, where the batch is a part of another whose loss is wanted.
        """
        atoms = torch.bincount(batch.structure, minlength=len(batch.cell))
        of_atoms = None if weights is None else weights[:, batch.structure, None]
        of_stress = None if weights is None else weights[:, :, None, None]
        counts = [None] * 3 if known is None else list(known)
        energy, by_energy = self.energy.with_slope(predicted.energy / atoms, labels.energy / atoms, weights, counts[0])
        total = self.energy.weight * energy
        terms = [energy]
        slopes = []
        for name, share, count in (("forces", of_atoms, counts[1]), ("stress", of_stress, counts[2])):
            term, value, label = getattr(self, name), getattr(predicted, name), getattr(labels, name)
            if value is None or label is None:
                terms.append(torch.zeros_like(energy))
                slopes.append(None if value is None else torch.zeros_like(value))
                continue
            if share is not None:
                share = share.to(value.dtype)
            mean, slope = term.with_slope(value, label.to(value.dtype), share, count)
            terms.append(mean)
            slopes.append(term.weight * slope)
            total = total + term.weight * mean
        return LossTerms(total, *terms), Properties(self.energy.weight * by_energy / atoms, *slopes)
