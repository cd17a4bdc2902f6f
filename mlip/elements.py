"""Chemical symbols and atomic numbers, for configs and messages."""

from __future__ import annotations

from collections.abc import Iterable

from ase.data import atomic_numbers, chemical_symbols

from mlip.structure import CHEMICAL_ELEMENTS


def symbols(numbers: Iterable[int]) -> str:
    """Chemical symbols for a message, such as 'H, C, O'."""
    return ", ".join(symbol(number) for number in numbers)


def symbol(number: int) -> str:
    """Chemical symbol of an atomic number."""
    return str(chemical_symbols[number])


def atomic_number(name: str) -> int:
    """Atomic number of a chemical symbol.

    Raises:
        ValueError: there is no such element.
    """
    if not 1 <= atomic_numbers.get(name, 0) <= CHEMICAL_ELEMENTS:
        raise ValueError(f"'{name}' is not a chemical symbol; expected one such as H, Si or Cu")
    return int(atomic_numbers[name])
