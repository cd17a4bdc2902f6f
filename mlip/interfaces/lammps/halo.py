"""Forces on ghosts, which are copies of atoms at the border of a rank's domain, go back to the atoms they copy.

Each rank evaluates its own atoms only. Their energies also push and pull at ghosts, as far as the cutoff; summed up at
the owners, the forces are complete. So a halo of one cutoff does, and no atom is evaluated twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int


class _Sums(NamedTuple):
    """Ghosts whose rows are summed up: in this order those of the first atom, then those of the next."""

    ghosts: Int[np.ndarray, "G"]
    starts: Int[np.ndarray, "U"]

    def of(self, rows: Float[np.ndarray, "G M"]) -> Float[np.ndarray, "U M"]:
        """A row for each of the U atoms."""
        return np.add.reduceat(rows[self.ghosts], self.starts, axis=0)


class Halo:
    """The ghosts of a rank and where the atoms are that they copy.

    `own` and `ghosts` are the atoms' numbers in the whole system, `ranks` is an mpi4py communicator, or None where
    there is one rank. Making a halo is collective.

    Raises:
        ValueError: a ghost copies an atom that no rank has.
    """

    def __init__(self, ranks: Any, own: Int[np.ndarray, "N"], ghosts: Int[np.ndarray, "G"]) -> None:
        self.ranks = ranks
        self.atoms = len(own)
        tags, copies = np.unique(ghosts, return_inverse=True)
        me = 0 if ranks is None else ranks.rank
        owner, index = _found_here(own, tags) if ranks is None else _found_at_ranks(ranks, own, tags)
        if len(tags) and owner.min() < 0:
            raise ValueError(
                f"LAMMPS has a ghost of atom {tags[owner.argmin()]}, which no rank owns: atoms were lost. "
                "Look at the forces before, or use a smaller timestep"
            )
        wanted: list[Int[np.ndarray, "_"]] = []  # by rank, the atoms there that this one has ghosts of
        self._sums: dict[int, _Sums] = {}
        for rank in range(1 if ranks is None else ranks.size):
            atoms = np.flatnonzero(owner == rank)
            wanted.append(index[atoms])
            if len(atoms):
                place = np.full(len(tags), -1)
                place[atoms] = np.arange(len(atoms))
                of_ghost = place[copies]
                order = np.argsort(of_ghost, kind="stable")[np.count_nonzero(of_ghost < 0) :]
                self._sums[rank] = _Sums(order, np.searchsorted(of_ghost[order], np.arange(len(atoms))))
        given = wanted if ranks is None else _exchanged(ranks, wanted)
        self._mine = given[me]
        self._given = {rank: atoms for rank, atoms in enumerate(given) if rank != me and len(atoms)}
        self._me = me

    def give_back(self, rows: Float[np.ndarray, "A M"]) -> Float[np.ndarray, "N M"]:
        """Rows of a rank's atoms, to which those of their ghosts on all ranks were added. Collective."""
        own, of_ghosts = rows[: self.atoms].copy(), rows[self.atoms :]
        arriving, requests = {}, []
        for rank, atoms in self._given.items():
            arriving[rank] = np.empty((len(atoms), rows.shape[1]))
            requests.append(self.ranks.Irecv(arriving[rank], rank))
        leaving = [(rank, sums.of(of_ghosts)) for rank, sums in self._sums.items() if rank != self._me]
        requests += [self.ranks.Isend(sums, rank) for rank, sums in leaving]
        if self._me in self._sums:
            own[self._mine] += self._sums[self._me].of(of_ghosts)
        for request in requests:
            request.Wait()
        for rank, atoms in self._given.items():
            own[atoms] += arriving[rank]
        return own


def _found_here(
    own: Int[np.ndarray, "N"], tags: Int[np.ndarray, "U"]
) -> tuple[Int[np.ndarray, "U"], Int[np.ndarray, "U"]]:
    """0 and where each atom is among a rank's own; -1 if it is not."""
    if not len(own):
        return np.full(len(tags), -1), np.zeros(len(tags), np.int64)
    order = np.argsort(own)
    index = order[np.minimum(np.searchsorted(own[order], tags), len(own) - 1)]
    return np.where(own[index] == tags, 0, -1), index


def _found_at_ranks(
    ranks: Any, own: Int[np.ndarray, "N"], tags: Int[np.ndarray, "U"]
) -> tuple[Int[np.ndarray, "U"], Int[np.ndarray, "U"]]:
    """Rank and index there of each atom; rank -1 if it has none.

    Atom t is looked up at rank t modulo the number of ranks, so no rank needs to know all atoms.
    """
    home = own % ranks.size
    places = [np.flatnonzero(home == rank) for rank in range(ranks.size)]
    known = _exchanged(ranks, [own[place] for place in places])
    indices = _exchanged(ranks, places)
    all_tags, all_indices = np.concatenate(known), np.concatenate(indices)
    all_ranks = np.repeat(np.arange(ranks.size), [len(part) for part in known])
    asked = [np.flatnonzero(tags % ranks.size == rank) for rank in range(ranks.size)]
    answers = []
    for question in _exchanged(ranks, [tags[place] for place in asked]):
        found, row = _found_here(all_tags, question)
        if len(all_tags):
            found = np.where(found < 0, -1, all_ranks[row])
            row = all_indices[row]
        answers.append(np.stack([found, row], axis=1).ravel())
    owner, index = np.full(len(tags), -1), np.zeros(len(tags), np.int64)
    for place, answer in zip(asked, _exchanged(ranks, answers), strict=True):
        owner[place], index[place] = answer.reshape(-1, 2).T
    return owner, index


def _exchanged(ranks: Any, parts: Sequence[Int[np.ndarray, "_"]]) -> list[Int[np.ndarray, "_"]]:
    """What each rank has for this one, given what this one has for each."""
    sizes = np.array([len(part) for part in parts])
    coming = np.empty_like(sizes)
    ranks.Alltoall(sizes, coming)
    received = np.empty(coming.sum(), np.int64)
    ranks.Alltoallv([np.concatenate(parts).astype(np.int64), sizes], [received, coming])
    return np.split(received, np.cumsum(coming)[:-1])
