"""What the networks have to learn: the labels less the repulsion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlip.batch import collate, pair_vectors, sum_per_structure, to_batch
from mlip.model.derivatives import forces_of, stress_of
from mlip.model.repulsion import ZBL
from mlip.structure import Structure


def less_repulsion(structures: Sequence[Structure], repulsion: ZBL | None) -> list[Structure]:
    """The same structures with the repulsion taken from their labels; the very same where it does not reach.

    The repulsion has no weights, so this is done once: a loss of labels and predictions, both less the repulsion, is
    that of labels and whole predictions.

    Raises:
        OverlappingAtoms: two atoms lie on top of each other; the message names the structure and the atoms.
    """
    if repulsion is None or not structures:
        return list(structures)
    batch = collate([to_batch(structure, repulsion.cutoff)[0] for structure in structures])
    vectors = pair_vectors(batch)
    by_atom, gradient = repulsion(batch.numbers, batch.pairs, vectors)
    energies = sum_per_structure(by_atom, batch).tolist()
    ends = np.cumsum([len(structure) for structure in structures])[:-1]
    forces = np.split(forces_of(batch, gradient).numpy(), ends)
    stress = stress_of(batch, vectors, gradient).numpy()
    return [
        _less(structure, *repelled) if repelled[0] else structure
        for structure, *repelled in zip(structures, energies, forces, stress, strict=True)
    ]


def _less(structure: Structure, energy: float, forces: np.ndarray, stress: np.ndarray) -> Structure:
    return replace(
        structure,
        energy=None if structure.energy is None else structure.energy - energy,
        forces=None if structure.forces is None else structure.forces - forces,
        stress=None if structure.stress is None else structure.stress - stress,
    )
