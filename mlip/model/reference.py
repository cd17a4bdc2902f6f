"""Reference energies of the elements: the part of the total energy that networks need not learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from mlip.elements import symbol, symbols
from mlip.structure import Structure


def fitted_references(structures: Sequence[Structure], elements: Sequence[int], method: str) -> list[float]:
    r"""Reference energies (eV) from the labelled energies, in the order of `elements`.

    - "least_squares": :math:`\min_\varepsilon \sum_s (E_s - \sum_e n_{se} \varepsilon_e)^2`, of the smallest norm where
      the compositions leave a choice
    - "mean": the mean energy per atom for every element

    All zero if no structure has an energy.
    """
    labelled = [structure for structure in structures if structure.energy is not None]
    if not labelled:
        return [0.0] * len(elements)
    energies = np.array([structure.energy for structure in labelled])
    counts = np.array([[int((structure.numbers == z).sum()) for z in elements] for structure in labelled], dtype=float)
    return references_of_counts(counts, energies, method)


def references_of_counts(
    counts: Float[np.ndarray, "S E"], energies: Float[np.ndarray, "S"], method: str
) -> list[float]:
    """The same from the number of atoms of each element in each structure with an energy."""
    if not len(energies):
        return [0.0] * counts.shape[1]
    if method == "mean":
        return [float(energies.sum() / counts.sum())] * counts.shape[1]
    solution: np.ndarray = np.linalg.lstsq(counts, energies, rcond=None)[0]
    return [float(value) for value in solution]


def isolated_references(structures: Sequence[Structure], elements: Sequence[int], origin: str) -> list[float]:
    """Energies (eV) of structures that are a single atom without periodicity, in the order of `elements`.

    Raises:
        ValueError: an element has no such structure, or several that disagree; `origin` names where was looked.
    """
    found: dict[int, float] = {}
    for structure in structures:
        if len(structure) == 1 and structure.energy is not None and not structure.pbc.any():
            number = int(structure.numbers[0])
            if abs(found.setdefault(number, structure.energy) - structure.energy) > 1e-6:
                raise ValueError(
                    f"{structure.origin}: the isolated {symbol(number)} atom has {structure.energy} eV here and "
                    f"{found[number]} eV before; expected one energy"
                )
    missing = [number for number in elements if number not in found]
    if missing:
        raise ValueError(
            f"{origin}: no isolated atom with an energy for {symbols(missing)}; expected one-atom structures without "
            "periodicity. Set model.reference_energies.isolated_file, or another method"
        )
    return [found[number] for number in elements]


def given_references(values: Mapping[str, float], elements: Sequence[int]) -> list[float]:
    """Energies (eV) by symbol, in the order of `elements`.

    Raises:
        ValueError: an element of the data has none.
    """
    missing = [symbol(number) for number in elements if symbol(number) not in values]
    if missing:
        raise ValueError(
            f"model.reference_energies.values has none for {', '.join(missing)}; give one for each element"
        )
    return [values[symbol(number)] for number in elements]
