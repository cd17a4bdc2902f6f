"""What differs between a trajectory and its reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from mlip.analysis.trajectory import Analysis

SHELL = ("peak", "height", "minimum", "coordination")
MEANS = ("temperature", "potential_energy", "total_energy", "volume")


def compare(one: Analysis, other: Analysis) -> dict[str, Any]:
    """Differences, those of the first less those of the second; None for what one of them does not have.

    Curves are compared by `share`: of distances up to the cutoff, and of the spectrum.
    """
    a, b = one.results, other.results
    found: dict[str, Any] = {name: _difference(_mean(a[name]), _mean(b[name])) for name in MEANS}
    found["energy_drift_meV_per_atom_ps"] = _difference(
        *((x["energy_drift"] or {}).get("meV_per_atom_ps") for x in (a, b))
    )
    found["pairs"] = {}
    for name in (name for name in one.pairs if name in other.pairs):
        p, q = one.pairs[name], other.pairs[name]
        shells = [x["pairs"][name] or {} for x in (a, b)]
        found["pairs"][name] = {
            **{key: _difference(*(s.get(key) for s in shells)) for key in SHELL},
            "largest_difference": float(np.abs(p.g - q.g).max()),
            "share": share(p.g * p.r**2, q.g * q.r**2),
        }
    found["diffusion"] = {
        name: _difference(*((x["diffusion"][name] or {}).get("coefficient") for x in (a, b)))
        for name in one.displacement
        if name in other.displacement
    }
    found["vibrations"] = {}
    for name in (name for name in one.vibrations if name in other.vibrations):
        v, w = one.vibrations[name], other.vibrations[name]
        grid = v.frequencies if v.frequencies[-1] <= w.frequencies[-1] else w.frequencies
        peaks = [x["vibrations"]["peaks_THz"][name] for x in (a, b)]
        spectra = [np.interp(grid, x.frequencies, x.spectrum) for x in (v, w)]
        found["vibrations"][name] = {"peak_THz": peaks[0] - peaks[1], "share": share(*spectra)}
    return found


def share(one: Float[np.ndarray, "K"], other: Float[np.ndarray, "K"]) -> float:
    r"""How much of two distributions on one grid is in different places: 0 if they are equal, 1 if nowhere both are.

    .. math:: \frac{\sum_k |p_k - q_k|}{\sum_k (|p_k| + |q_k|)}
    """
    total = float((np.abs(one) + np.abs(other)).sum())
    return float(np.abs(one - other).sum()) / total if total > 0 else 0.0


def _mean(value: dict[str, float] | None) -> float | None:
    return None if value is None else value["mean"]


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
