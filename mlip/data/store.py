"""Stores that `mlip prepare` wrote, read as any other data file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mlip.data.options import DEFAULT_OPTIONS, ReadOptions
from mlip.data.selection import selected
from mlip.data.store_file import StoreFile
from mlip.structure import Structure

log = logging.getLogger("mlip.data")

NEEDED = ("numbers", "positions", "forces", "energy", "stress", "cell", "pbc")


def read(path: Path, options: ReadOptions) -> list[Structure]:
    """Structures in eV and Å, whatever the units in the file that the store was made from.

    Raises:
        ValueError: the store is of another version, incomplete or damaged.
    """
    with open_store(path, options) as store:
        return structures_at(store, selected(options.index, len(store), path.name))


def open_store(path: Path, options: ReadOptions) -> StoreFile:
    """A whole store, ready to be read with these options.

    Raises:
        ValueError: it is of another version or incomplete, or `options.index` was already used when it was made.
    """
    store = StoreFile(path)
    store.require_whole()
    made = store.plan.get("index", ":")
    if options.index == made != ":":
        raise ValueError(
            f"{path}: data.index is '{made}', which already chose what is in the store. Set data.index=':'"
        )
    given = [name for name, value in vars(options).items() if value != getattr(DEFAULT_OPTIONS, name)]
    ignored = [name for name in given if name not in ("format", "index")]
    if ignored:
        log.info("%s: a store is in eV and Å; not used for it: %s", path, ", ".join(ignored))
    return store


def structures_at(store: StoreFile, places: Sequence[int]) -> list[Structure]:
    """The structures at these places of a store, in this order, compared with the checksums."""
    found: list[Structure] = []
    kept, arrays = -1, {}
    for place in places:
        chunk = place // store.plan["chunk"]
        if chunk != kept:
            kept, arrays = chunk, {name: store.read_chunk(name, chunk) for name in NEEDED}
        found.append(_structure(store, arrays, place, store.structures_of(chunk)[0]))
    return found


class StoredStructures(Sequence[Structure]):
    """Structures of a store as a sequence, each read when it is asked for and then forgotten."""

    def __init__(self, store: StoreFile, places: np.ndarray) -> None:
        self.store, self.places = store, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204 (an int or a slice)
        """One structure, or a list of several."""
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        place = int(self.places[number])
        arrays = {name: self.store.read(name, place, place + 1) for name in NEEDED}
        return _structure(self.store, arrays, place, place)


def _structure(store: StoreFile, arrays: Mapping[str, np.ndarray], place: int, first: int) -> Structure:
    """One structure out of arrays that begin with structure `first`."""
    start = store.starts["atom"]
    atoms = slice(int(start[place] - start[first]), int(start[place + 1] - start[first]))
    energy, stress = float(arrays["energy"][place - first]), arrays["stress"][place - first]
    forces = arrays["forces"][atoms]
    return Structure(
        numbers=arrays["numbers"][atoms].astype(np.int64),
        positions=arrays["positions"][atoms],
        cell=arrays["cell"][place - first],
        pbc=arrays["pbc"][place - first].astype(bool),
        energy=None if np.isnan(energy) else energy,
        forces=None if np.isnan(forces).all() else forces,
        stress=None if np.isnan(stress).all() else stress,
        origin=f"{store.path.name}#{place}",
    )
