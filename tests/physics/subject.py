"""What a law is tried on: something that predicts, and the few facts the laws need to know about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlip.batch import AtomsBatch, collate, to_batch
from mlip.descriptors.compact_functions import CompactFunction
from mlip.model.evaluate import evaluate
from mlip.model.potential import Potential
from mlip.structure import Structure


class Prediction(NamedTuple):
    """One structure's share of a batch."""

    energy: float  # eV
    forces: np.ndarray  # (n,3) eV/Å
    stress: np.ndarray  # (3,3) eV/Å³
    atomic_energies: np.ndarray  # (n,) eV


Predict = Callable[[Sequence[Structure]], list[Prediction]]
Backend = Callable[[Potential, AtomsBatch], object]  # what takes the place of the descriptor for this batch


@dataclass(frozen=True)
class Subject:
    """A potential as a law sees it; broken ones replace a field."""

    predict: Predict  # all structures in one batch
    cutoffs: tuple[float, ...]  # Å, of any function, inner ones too
    isolated: dict[int, float]  # eV, energy of a lone atom by atomic number
    references: dict[int, float] | None  # eV, the same exactly, if the potential is anchored

    @property
    def cutoff(self) -> float:
        return max(self.cutoffs)


def subject_of(
    potential: Potential,
    *,
    change: Callable[[AtomsBatch], AtomsBatch] = lambda batch: batch,
    features: Backend | None = None,
) -> Subject:
    """The laws' view of a potential; `change` alters each batch on its way, `features` is another backend."""
    elements = potential.elements
    functions = potential.descriptor.functions
    inner = {function.inner_cutoff for function in functions if function.inner_cutoff}
    inner |= {function.inner for function in functions if isinstance(function, CompactFunction) and function.inner > 0}
    ends = set() if potential.repulsion is None else set(potential.repulsion.outer.flatten().tolist())
    if potential.baseline is not None:
        ends |= {potential.baseline.inner, potential.baseline.cutoff, *potential.baseline.cores[:, 0].tolist()} - {0.0}
    return Subject(
        predictor(potential, change, features),
        tuple(sorted({function.cutoff for function in functions} | inner | ends)),
        dict(zip(elements, potential.isolated_energies().tolist(), strict=True)),
        dict(zip(elements, potential.reference_energies.tolist(), strict=True)) if potential.anchored else None,
    )


def predictor(
    potential: Potential, change: Callable[[AtomsBatch], AtomsBatch], features: Backend | None = None
) -> Predict:
    def predict(structures: Sequence[Structure]) -> list[Prediction]:
        batch = change(collate([to_batch(structure, potential.cutoff)[0] for structure in structures]))
        backend = features(potential, batch) if features else None
        energy, forces, stress, atomic_energies = evaluate(potential, batch, features=backend)
        ends = np.cumsum([len(structure) for structure in structures])[:-1]
        return [
            Prediction(float(e), f, s, a)
            for e, f, s, a in zip(
                energy.tolist(),
                np.split(forces.double().numpy(), ends),
                stress.double().numpy(),
                np.split(atomic_energies.detach().numpy(), ends),
                strict=True,
            )
        ]

    return predict
