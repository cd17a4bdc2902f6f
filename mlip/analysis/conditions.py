"""Temperature, energy and volume along a trajectory, and how they drift."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from ase import Atoms, units
from jaxtyping import Float

BLOCKS = 5  # of which the standard error of a mean is taken
COLUMNS = ("temperature", "potential_energy", "kinetic_energy", "total_energy", "volume")


class Series(NamedTuple):
    """One row of numbers for each frame; NaN where a frame does not say."""

    time: Float[np.ndarray, "T"]  # ps, or the number of the frame where there are no times
    temperature: Float[np.ndarray, "T"]  # K
    potential_energy: Float[np.ndarray, "T"]  # eV per atom, as are the next two
    kinetic_energy: Float[np.ndarray, "T"]
    total_energy: Float[np.ndarray, "T"]
    volume: Float[np.ndarray, "T"]  # Å³ per atom


def row_of(atoms: Atoms) -> tuple[float, ...]:
    """What a frame says about `COLUMNS`; the temperature counts three degrees of freedom for each atom."""
    count = len(atoms)
    energy = atoms.calc.results.get("energy") if atoms.calc is not None else atoms.info.get("energy")
    potential = np.nan if energy is None else float(energy) / count
    kinetic = float(atoms.get_kinetic_energy()) / count if atoms.has("momenta") else np.nan
    volume = abs(float(np.linalg.det(atoms.cell.array))) / count if atoms.pbc.all() else np.nan
    return kinetic / (1.5 * units.kB), potential, kinetic, potential + kinetic, volume


def summary(series: Series, *, moving: bool) -> dict[str, Any]:
    """Means with standard errors by blocks, and the drift of the total energy (meV per atom and ps) if it is `moving`.

    The drift is the slope of a straight line, the swing what is left around it, as in `mlip md`.
    """
    found: dict[str, Any] = {name: mean_of(getattr(series, name)) for name in COLUMNS}
    total = 1e3 * series.total_energy
    if moving and len(total) > 2 and np.isfinite(total).all():
        slope, offset = np.polyfit(series.time, total, 1)
        swing = float((total - offset - slope * series.time).std())
        found["energy_drift"] = {"meV_per_atom_ps": float(slope), "swing_meV_per_atom": swing}
    else:
        found["energy_drift"] = None
    return found


def mean_of(values: Float[np.ndarray, "T"]) -> dict[str, float | None] | None:
    """Mean, standard error by blocks (None for too few frames), standard deviation; None if a value is missing."""
    if not len(values) or not np.isfinite(values).all():
        return None
    error = None
    if len(values) >= 2 * BLOCKS:
        means = [block.mean() for block in np.array_split(values, BLOCKS)]
        error = float(np.std(means, ddof=1) / np.sqrt(BLOCKS))
    return {"mean": float(values.mean()), "error": error, "deviation": float(values.std())}
