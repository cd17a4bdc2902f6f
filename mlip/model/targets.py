"""What a model has to learn: the labels less the repulsion and the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlip.batch import collate, pair_vectors, sum_per_structure, to_batch
from mlip.model.derivatives import forces_of, stress_of
from mlip.model.repulsion import ZBL
from mlip.pair.potential import PairPotential
from mlip.structure import Structure


def less_pair_term(structures: Sequence[Structure], term: ZBL | PairPotential | None) -> list[Structure]:
    """The same structures with a function of pairs taken from their labels; the very same where it does not reach.

    It has no weights that are trained, so this is done once: a loss of labels and predictions, both less that function,
    is that of labels and whole predictions.

    Raises:
        OverlappingAtoms: two atoms lie on top of each other; the message names the structure and the atoms.
    """
    if term is None or not structures:
        return list(structures)
    batch = collate([to_batch(structure, term.cutoff)[0] for structure in structures])
    vectors = pair_vectors(batch)
    by_atom, gradient = term(batch.numbers, batch.pairs, vectors)
    energies = sum_per_structure(by_atom, batch).tolist()
    ends = np.cumsum([len(structure) for structure in structures])[:-1]
    forces = np.split(forces_of(batch, gradient).numpy(), ends)
    stress = stress_of(batch, vectors, gradient).numpy()
    return [
        _less(structure, *added) if added[0] or added[1].any() else structure
        for structure, *added in zip(structures, energies, forces, stress, strict=True)
    ]


def _less(structure: Structure, energy: float, forces: np.ndarray, stress: np.ndarray) -> Structure:
    return replace(
        structure,
        energy=None if structure.energy is None else structure.energy - energy,
        forces=None if structure.forces is None else structure.forces - forces,
        stress=None if structure.stress is None else structure.stress - stress,
    )
