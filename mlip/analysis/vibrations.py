"""The velocity autocorrelation and its spectrum, the vibrational density of states."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.integrate import trapezoid

from mlip.analysis.correlation import autocorrelation
from mlip.analysis.history import History

PADDING = 4  # points of the spectrum for each that the window resolves


class Vibrations(NamedTuple):
    """Of the atoms of one element, or of all, weighted with their masses."""

    lags: Float[np.ndarray, "L"]  # ps
    autocorrelation: Float[np.ndarray, "L"]  # of velocities, 1 at the start
    frequencies: Float[np.ndarray, "F"]  # THz
    spectrum: Float[np.ndarray, "F"]  # 1/THz, its integral is 1
    raw: float  # the autocorrelation's value at the start, summed over atoms, amu Å²/ps²


def vibrations(
    history: History, groups: dict[str, Int[np.ndarray, "k"]], masses: Float[np.ndarray, "m"], step: float, lags: int
) -> dict[str, Vibrations]:
    r"""Velocity autocorrelation of each group of atoms and of all of them together, and its spectrum.

    .. math:: C(\tau) = \sum_i m_i \langle v_i(t) \cdot v_i(t + \tau) \rangle, \qquad
              g(\nu) = 4 \int_0^{\tau_{max}} \frac{C(\tau)}{C(0)}\, w(\tau) \cos(2 \pi \nu \tau)\, d\tau

    with Parzen's window w over `lags` steps of `step` ps, which leaves peaks a width of about :math:`1.8 / \tau_{max}`.
    Velocities are those of the history; where it has none, they are differences of successive positions, and the
    spectrum is divided by what this takes away, :math:`[\sin(\pi \nu \Delta) / (\pi \nu \Delta)]^2`.

    Source: Dickey, Paskin, Phys. Rev. 188, 1407 (1969); window: Parzen, Ann. Math. Stat. 32, 951 (1961).
    """
    frames = history.frames - (0 if history.has_velocities else 1)
    lags = min(lags, frames)
    found, sums = {}, np.zeros(lags)
    for name, atoms in groups.items():
        total = np.zeros(lags)
        for some, values in history.chunks("velocities" if history.has_velocities else "positions", atoms):
            velocity = 1e3 * values if history.has_velocities else np.diff(values, axis=0) / step  # Å/ps
            weighted = velocity * np.sqrt(masses[some])[:, None]
            total += autocorrelation(weighted.reshape(frames, -1), lags)
        total /= frames - np.arange(lags)
        sums += total
        found[name] = _transformed(total, step, not history.has_velocities)
    if len(groups) > 1:
        found["all"] = _transformed(sums, step, not history.has_velocities)
    return found


def _transformed(total: np.ndarray, step: float, differences: bool) -> Vibrations:
    lags = len(total)
    start = float(total[0])
    correlation = total / start if start > 0 else np.zeros(lags)
    size = 2 * PADDING * lags
    even = np.zeros(size)
    even[:lags] = correlation * parzen(lags)
    even[size - lags + 1 :] = even[1:lags][::-1]
    frequencies = np.fft.rfftfreq(size, step)
    spectrum = 2 * step * np.fft.rfft(even).real
    if differences:
        spectrum /= np.sinc(frequencies * step) ** 2
    area = float(trapezoid(spectrum, frequencies))
    return Vibrations(
        step * np.arange(lags), correlation, frequencies, spectrum / area if area > 0 else spectrum, start
    )


def parzen(lags: int) -> Float[np.ndarray, "L"]:
    """Half of Parzen's window: 1 at the start, zero behind the last lag, and a transform that is nowhere negative."""
    x = np.arange(lags) / lags
    return np.where(x <= 0.5, 1 - 6 * x**2 + 6 * x**3, 2 * (1 - x) ** 3)
