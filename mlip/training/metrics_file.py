"""The table of a run, one row for each epoch."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Write a row, after a header if it is the first."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def keep_rows_before(path: Path, epoch: int) -> None:
    """Remove the rows of this epoch and later, and one that was cut short; no file is as good as an empty one."""
    if path.exists():
        header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [row for row in rows if row.endswith("\n") and int(row.partition(",")[0]) < epoch]
        path.write_text(header + "".join(kept), encoding="utf-8")


def summary(row: Mapping[str, float]) -> str:
    """A row in a few words."""
    shown = {"energy_mae_per_atom": "{:.2f} meV/atom", "forces_mae": "{:.1f} meV/Å", "stress_mae": "{:.2f} meV/Å³"}
    errors = [text.format(1e3 * row[f"valid_{name}"]) for name, text in shown.items() if f"valid_{name}" in row]
    return ", ".join([f"loss {row['train_loss']:.2e}", *(["valid " + errors[0], *errors[1:]] if errors else [])])
