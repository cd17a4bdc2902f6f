"""The curves of an analysis as CSV files, one column each with its unit."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from mlip.analysis.trajectory import Analysis
from mlip.data.paths import whole_file

Columns = dict[str, np.ndarray]


def tables(found: Analysis) -> dict[str, Columns]:
    """Columns of each file by its name; only what there is."""
    series = found.series
    result: dict[str, Columns] = {
        "conditions": {
            "frame" if found.results["time_ps"] is None else "time (ps)": series.time,
            "temperature (K)": series.temperature,
            "potential energy (eV/atom)": series.potential_energy,
            "kinetic energy (eV/atom)": series.kinetic_energy,
            "total energy (eV/atom)": series.total_energy,
            "volume (Å³/atom)": series.volume,
        }
    }
    pairs = list(found.pairs.items())
    result["rdf"] = {"r (Å)": pairs[0][1].r}
    for name, curve in pairs:
        result["rdf"] |= {f"g {name}": curve.g, f"neighbors {name}": curve.coordination}
    if found.displacement:
        lags = next(iter(found.displacement.values())).lags
        result["msd"] = {"lag (ps)": lags} | {f"msd {name} (Å²)": c.msd for name, c in found.displacement.items()}
    if found.vibrations:
        some = next(iter(found.vibrations.values()))
        result["vacf"] = {"lag (ps)": some.lags} | {name: c.autocorrelation for name, c in found.vibrations.items()}
        result["spectrum"] = {"frequency (THz)": some.frequencies} | {
            f"{name} (1/THz)": curve.spectrum for name, curve in found.vibrations.items()
        }
    return result


def write_tables(found: Analysis, folder: Path, prefix: str = "") -> list[Path]:
    """Write each table to a file of its name; returns the files."""
    files = []
    for name, columns in tables(found).items():
        path = folder / f"{prefix}{name}.csv"
        with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([f"{value:.8g}" for value in row] for row in zip(*columns.values(), strict=True))
        files.append(path)
    return files
