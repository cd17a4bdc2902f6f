"""Under which name a file holds a label; a label under an unusual name is never dropped in silence."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

ALIKE = {
    "energy": re.compile(r"energ(y|ies)|^e_?(0|tot|total|pot)?$|toten", re.IGNORECASE),
    "forces": re.compile(r"force|^f$", re.IGNORECASE),
    "stress": re.compile(r"stress", re.IGNORECASE),
    "virial": re.compile(r"virial", re.IGNORECASE),
}
UNLIKE = re.compile(r"kinetic|per_?atom|weight|mask", re.IGNORECASE)


def looks_like(quantity: str, name: str) -> bool:
    """Whether data of this name may be the energy, forces, stress or virial."""
    return bool(ALIKE[quantity].search(name)) and not UNLIKE.search(name)


def find_key(
    file: str,
    quantity: str,
    named: str | None,
    defaults: Sequence[str],
    present: Collection[str],
    possible: Mapping[str, str],
) -> str | None:
    """The key that holds a label: the one the user named, else a default one, else None.

    Args:
        quantity: "energy", "forces", "stress" or "virial".
        present: all keys of the file.
        possible: keys whose values have the shape of this label, each with the place where it was first seen.

    Raises:
        ValueError: the named key is not there; or no default key is, but another one looks like this label.
    """
    option = f"data.{quantity}_key"
    if named is not None:
        if named not in present:
            raise ValueError(
                f"{file}: no {quantity} under key '{named}', which {option} names; found {listing(present)}"
            )
        return named
    for key in defaults:
        if key in present:
            return key
    alike = [key for key in possible if looks_like(quantity, key)]
    if alike:
        expected = " or ".join(f"'{key}'" for key in defaults)
        cure = f"Set {option}={alike[0]}" if len(alike) == 1 else f"Set {option} to one of them"
        raise ValueError(f"{possible[alike[0]]}: no {quantity} under key {expected}; found {listing(alike)}. {cure}.")
    return None


def listing(keys: Collection[str]) -> str:
    """Keys as a message shows them."""
    return ", ".join(f"'{key}'" for key in keys) or "no keys at all"
