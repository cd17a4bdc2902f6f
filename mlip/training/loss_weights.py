"""Weights of the loss that suit the data without tuning."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mlip.batch import AtomsBatch, pair_vectors
from mlip.training.loss import Loss, Term

logger = logging.getLogger(__name__)

DISPLACEMENT = 0.1  # of the distance to the nearest neighbor


class Lengths(NamedTuple):
    """What weights are made of."""

    nearest: float  # Å, mean over the atoms of the distance to the nearest neighbor
    volume: float | None  # Å³, root mean square of the volume per atom of periodic structures


def with_automatic_weights(loss: Loss, names: Collection[str], atoms: AtomsBatch | Lengths) -> Loss:
    r"""The loss with the weights of these terms from the structures `atoms`, or from their lengths.

    A weight makes errors of different kind comparable, through the lengths that belong to them: with the mean distance
    d of an atom to its nearest neighbor and the volume V of a structure with n atoms

    .. math:: w_F = 1, \qquad w_E = (\lambda d)^{-2}, \quad \lambda = \tfrac1{10}, \qquad
              w_S = \langle (V / n)^2 \rangle\, d^{-2}

    An energy per atom then counts like the force that makes it along a displacement of a tenth of d, about as far as
    atoms move in a solid before it melts; and a stress like the force between neighbors that makes it: the virial per
    atom, over d. The roots of these numbers are the weights of a term of the form "mae". The labels' own spread is
    no measure: it says how far apart the structures are, not how well each can be described.

    Source of the tenth: Lindemann, Phys. Z. 11, 609 (1910).
    """
    if not names:
        return loss
    lengths = atoms if isinstance(atoms, Lengths) else lengths_of(atoms)
    scales = {
        "energy": 1 / (DISPLACEMENT * lengths.nearest),
        "forces": 1.0,
        "stress": 1.0 if lengths.volume is None else lengths.volume / lengths.nearest,
    }
    made: dict[str, Term] = {}
    for name in names:
        term: Term = getattr(loss, name)
        made[name] = replace(term, weight=scales[name] ** (1 if term.form == "mae" else 2))
    logger.info("weights of the loss: %s", ", ".join(f"{name} {term.weight:.3g}" for name, term in made.items()))
    return replace(loss, **made)


def lengths_of(atoms: AtomsBatch) -> Lengths:
    """Those of structures that are all there."""
    periodic = volumes_per_atom(atoms)
    volume = float(periodic.square().mean().sqrt()) if len(periodic) else None
    return Lengths(float(nearest_distances(atoms).mean()), volume)


def volumes_per_atom(atoms: AtomsBatch) -> Float[Tensor, "_"]:
    """Volume per atom (Å³) of each structure that has a volume."""
    volume = torch.linalg.det(atoms.cell).abs() / torch.bincount(atoms.structure, minlength=len(atoms.cell))
    return volume[volume > 0]


def nearest_distances(atoms: AtomsBatch) -> Float[Tensor, "_"]:
    """Distance to the nearest neighbor (Å) of each atom that has one."""
    lengths = pair_vectors(atoms).norm(dim=1)
    nearest = lengths.new_full((len(atoms.numbers),), math.inf)
    nearest = nearest.scatter_reduce(0, atoms.pairs[0], lengths, "amin")
    return nearest[nearest.isfinite()]
