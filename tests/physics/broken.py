"""Ways to break a potential: wrong energies, forces and stress, and batches changed behind its back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from mlip.batch import AtomsBatch
from mlip.model.potential import Potential
from mlip.structure import Structure
from physics import zoo
from physics.subject import Prediction, Subject, subject_of


def _changed(subject: Subject, change: Callable[[Structure, Prediction], Prediction]) -> Subject:
    def predict(structures: Sequence[Structure]) -> list[Prediction]:
        return [change(s, p) for s, p in zip(structures, subject.predict(structures), strict=True)]

    return replace(subject, predict=predict)


def energy(subject: Subject, change: Callable[[Structure, Prediction], float]) -> Subject:
    return _changed(subject, lambda s, p: p._replace(energy=float(change(s, p))))


def forces(subject: Subject, change: Callable[[Structure, np.ndarray], np.ndarray]) -> Subject:
    return _changed(subject, lambda s, p: p._replace(forces=np.asarray(change(s, p.forces))))


def stress(subject: Subject, change: Callable[[np.ndarray], np.ndarray]) -> Subject:
    return _changed(subject, lambda s, p: p._replace(stress=np.asarray(change(p.stress))))


def seen_from_the_origin(structure: Structure, prediction: Prediction) -> float:
    """The energy knows where the molecule is and how it is turned."""
    return prediction.energy + 1e-6 * float(np.sin(structure.positions[:, 0]).sum())


def handed(structure: Structure, prediction: Prediction) -> float:
    """The energy knows left from right."""
    a, b, c = structure.positions[1:4] - structure.positions[0]
    return prediction.energy + 1e-6 * float(np.dot(a, np.cross(b, c)))


def counted(structure: Structure, prediction: Prediction) -> float:
    """The energy knows the number of each atom in the file."""
    return prediction.energy + 1e-6 * float(np.arange(len(structure)) @ structure.numbers)


def swirl(structure: Structure, forces: np.ndarray) -> np.ndarray:
    """Forces with a torque but no net force; no energy belongs to them."""
    arms = structure.positions - structure.positions.mean(axis=0)
    return forces + 0.02 * np.cross([0.3, -0.8, 0.5], arms)


def no_self_images(batch: AtomsBatch) -> AtomsBatch:
    return _kept(batch, batch.pairs[0] != batch.pairs[1])


def nearest_images_only(batch: AtomsBatch) -> AtomsBatch:
    return _kept(batch, (batch.shifts.abs() <= 1).all(dim=1))


def one_way_pairs(batch: AtomsBatch) -> AtomsBatch:
    """Pairs in one direction only, and forces that the other side does not feel."""
    return batch._replace(pairs=torch.stack([batch.pairs[0], torch.roll(batch.pairs[1], 1)]))


def shifts_reversed(batch: AtomsBatch) -> AtomsBatch:
    return batch._replace(shifts=-batch.shifts)


def columns_for_rows(batch: AtomsBatch) -> AtomsBatch:
    return batch._replace(cell=batch.cell.mT.contiguous())


def pairs_between_structures(batch: AtomsBatch) -> AtomsBatch:
    """The first atom of a batch sees those of the other structures."""
    others = (batch.structure > 0).nonzero().flatten()
    between = torch.stack([torch.zeros_like(others), others])
    return batch._replace(
        pairs=torch.cat([between, batch.pairs], dim=1),
        shifts=torch.cat([batch.shifts.new_zeros(len(others), 3), batch.shifts]),
    )


def first_cell_for_all(batch: AtomsBatch) -> AtomsBatch:
    """The cell of the first structure is used for all."""
    return batch._replace(cell=batch.cell[:1].expand(len(batch.cell), 3, 3).contiguous())


def _kept(batch: AtomsBatch, keep: torch.Tensor) -> AtomsBatch:
    return batch._replace(pairs=batch.pairs[:, keep], shifts=batch.shifts[keep])


def single_precision() -> Potential:
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    potential.networks.float()
    return potential


def without_interaction() -> Subject:
    """A potential of lone atoms: it obeys every invariance because there is nothing to see."""
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    for parameter in potential.networks.parameters():
        parameter.data.zero_()
    return subject_of(potential)


def not_anchored() -> Subject:
    """The networks leave a little on top of the reference energies of lone atoms."""
    subject = subject_of(zoo.POTENTIALS["mixed cutoffs"]())
    return replace(subject, references={number: energy - 1e-12 for number, energy in subject.isolated.items()})


def sees_more_than_stated(subject: Subject) -> Subject:
    return replace(subject, cutoffs=tuple(0.6 * cutoff for cutoff in subject.cutoffs))


def sees_less_than_stated(subject: Subject) -> Subject:
    return replace(subject, cutoffs=tuple(10 * cutoff for cutoff in subject.cutoffs))
