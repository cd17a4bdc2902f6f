"""Errors as they are reported: mean absolute and root mean square, of energy, forces and stress."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mlip.batch import AtomsBatch, Properties

# Column of the table: (key in results.json, heading, factor from eV and Å to the unit of the heading).
COLUMNS = {
    "energy": ("energy", "meV", 1e3),
    "energy_per_atom": ("energy", "meV/atom", 1e3),
    "forces": ("forces", "meV/Å", 1e3),
    "stress": ("stress", "meV/Å³", 1e3),
}


class Errors:
    """Running sums of errors over structures, force components and stress components that have labels."""

    def __init__(self) -> None:
        self.structures = 0
        self._sums: dict[str, tuple[float, float, float]] = dict.fromkeys(COLUMNS, (0, 0.0, 0.0))

    def add(self, predicted: Properties, labels: Properties, batch: AtomsBatch) -> None:
        """Count the structures of a batch."""
        atoms = torch.bincount(batch.structure, minlength=len(batch.cell))
        self.structures += len(atoms)
        difference = predicted.energy - labels.energy
        self._count("energy", difference, labels.energy)
        self._count("energy_per_atom", difference / atoms, labels.energy)
        if predicted.forces is not None and labels.forces is not None:
            self._count("forces", predicted.forces - labels.forces, labels.forces)
        if predicted.stress is not None and labels.stress is not None:
            self._count("stress", predicted.stress - labels.stress, labels.stress)

    def _count(self, name: str, difference: Tensor, labels: Tensor) -> None:
        known = difference[torch.isfinite(labels)].double()
        count, absolute, square = self._sums[name]
        self._sums[name] = (
            count + known.numel(),
            absolute + float(known.abs().sum()),
            square + float((known**2).sum()),
        )

    def add_up(self, total: Callable[..., Sequence[float]]) -> None:
        """Take in the structures that others counted; `total` replaces numbers by their sums over all who count."""
        names = list(self._sums)
        structures, *sums = total(self.structures, *(number for name in names for number in self._sums[name]))
        self.structures = int(structures)
        self._sums = {name: (sums[3 * n], sums[3 * n + 1], sums[3 * n + 2]) for n, name in enumerate(names)}

    def results(self) -> dict[str, float | int]:
        """MAE and RMSE in eV, eV/Å and eV/Å³ of everything that had labels, under the keys of results.json."""
        results: dict[str, float | int] = {"structures": self.structures}
        for name, (count, absolute, square) in self._sums.items():
            if count:
                kind, _, suffix = name.partition("_")
                suffix = f"_{suffix}" if suffix else ""
                results[f"{kind}_mae{suffix}"] = absolute / count
                results[f"{kind}_rmse{suffix}"] = math.sqrt(square / count)
        return results


def table(parts: Mapping[str, Mapping[str, float | int]]) -> str:
    """The results of several sets as one table, MAE / RMSE in meV and Å."""
    shown = {}
    for name, (kind, unit, factor) in COLUMNS.items():
        suffix = name.removeprefix(kind)
        keys = (f"{kind}_mae{suffix}", f"{kind}_rmse{suffix}")
        if any(keys[0] in results for results in parts.values()):
            shown[f"{kind} ({unit})"] = (keys, factor)
    deviating = {
        f"{kind} std ({unit}), errors within 1 / 2": (kind, factor)
        for kind, (_, unit, factor) in COLUMNS.items()
        if any(f"{kind}_std_mean" in results for results in parts.values())
    }
    rows = [["MAE / RMSE", "structures", *shown, *deviating]]
    for part, results in parts.items():
        cells = [
            f"{_digits(results[mae] * factor)} / {_digits(results[rmse] * factor)}" if mae in results else "-"
            for (mae, rmse), factor in shown.values()
        ]
        cells += [_deviation(results, kind, factor) for kind, factor in deviating.values()]
        rows.append([part, str(results["structures"]), *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _deviation(results: Mapping[str, float | int], kind: str, factor: float) -> str:
    """Mean standard deviation over a committee, and the shares of errors within one and two of them."""
    if f"{kind}_std_mean" not in results:
        return "-"
    shares = [f"{100 * results[f'{kind}_within_{count}_std']:.0f} %" for count in (1, 2)]
    return f"{_digits(results[f'{kind}_std_mean'] * factor)}, {shares[0]} / {shares[1]}"


def _digits(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
