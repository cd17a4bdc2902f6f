"""The table of a run, one row for each epoch."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from mlip.durable import write_whole, writing


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Write a row, after a header if it is the first."""
    with writing(path), path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if not file.tell():
            writer.writeheader()
        writer.writerow(row)


def keep_rows_before(path: Path, epoch: int) -> None:
    """Remove the rows of this epoch and later, and one that was cut short; no file is as good as an empty one."""
    if path.exists():
        whole = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        kept = [row for row in whole[1:] if int(row.partition(b",")[0]) < epoch]
        write_whole(path, b"".join(whole[:1] + kept))


def summary(row: Mapping[str, float]) -> str:
    """A row in a few words."""
    shown = {"energy_mae_per_atom": "{:.2f} meV/atom", "forces_mae": "{:.1f} meV/Å", "stress_mae": "{:.2f} meV/Å³"}
    errors = [text.format(1e3 * row[f"valid_{name}"]) for name, text in shown.items() if f"valid_{name}" in row]
    return ", ".join([f"loss {row['train_loss']:.2e}", *(["valid " + errors[0], *errors[1:]] if errors else [])])
