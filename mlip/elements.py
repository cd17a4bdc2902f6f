"""Chemical symbols and atomic numbers, for configs and messages."""

from __future__ import annotations

from collections.abc import Iterable

from ase.data import atomic_numbers, chemical_symbols, covalent_radii

from mlip.structure import CHEMICAL_ELEMENTS


def symbols(numbers: Iterable[int]) -> str:
    """Chemical symbols for a message, such as 'H, C, O'."""
    return ", ".join(symbol(number) for number in numbers)


def symbol(number: int) -> str:
    """Chemical symbol of an atomic number."""
    return str(chemical_symbols[number])


def covalent_radius(number: int) -> float:
    """Covalent radius of an element (Å).

    Source: Cordero et al., Dalton Trans. 2832 (2008), as ASE carries it.
    """
    return float(covalent_radii[number])


def atomic_number(name: str, origin: str) -> int:
    """Atomic number of an element given by its symbol, in any case, or by the number itself.

    Raises:
        ValueError: there is no such element; the message starts with `origin`.
    """
    if name.isdecimal():
        return int(name)
    number = int(atomic_numbers.get(name.capitalize(), 0))
    if not 1 <= number <= CHEMICAL_ELEMENTS:
        raise ValueError(f"{origin}: '{name}' is not a chemical element; expected a symbol such as H or Si")
    return number
