"""Mean square displacement and the diffusion coefficient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from mlip.analysis.correlation import summed_square_displacement
from mlip.analysis.history import History

POINTS = 4  # lags that a straight line needs at least
FIT = (0.1, 0.5)  # of a block's length: lags that the line goes through, unless the user names others


class Diffusion(NamedTuple):
    """From the slope of the mean square displacement."""

    coefficient: float  # Å²/ps
    error: float  # standard error of the mean over blocks
    exponent: float  # of time in the mean square displacement between the lags: 1 diffusion, 2 free flight, 0 bound
    begin: float  # ps, lags that the line goes through
    end: float


class Displacement(NamedTuple):
    """Of the atoms of one element."""

    lags: Float[np.ndarray, "L"]  # ps
    msd: Float[np.ndarray, "L"]  # Å²
    diffusion: Diffusion | None  # None where there are too few frames


def displacement(
    history: History, atoms: Int[np.ndarray, "k"], step: float, *, blocks: int, fit: tuple[float, float] | None = None
) -> Displacement:
    r"""Mean square displacement over atoms and time origins, and the diffusion coefficient.

    .. math:: D = \frac{1}{6} \frac{d}{d\tau} \langle |r(t + \tau) - r(t)|^2 \rangle

    `atoms` are places among those of the history, `step` is the time between frames (ps), `fit` the first and last lag
    (ps) of the straight line. The error is that of the mean over so many `blocks` of the run, each fitted between the
    same lags.

    Raises:
        ValueError: there are fewer than two blocks, or `fit` is no range of lags within a block.

    Source: Einstein, Ann. Phys. 322, 549 (1905); Frenkel, Smit, Understanding Molecular Simulation (2002), eq. 4.4.9.
    """
    if blocks < 2:
        raise ValueError(f"--blocks is {blocks}; an error needs at least 2")
    frames = history.frames
    length = frames // blocks
    lags = max(frames // 2, length, 1)
    whole, parts = np.zeros(lags), np.zeros((blocks, length))
    for _, positions in history.chunks("positions", atoms):
        whole += summed_square_displacement(positions, lags)
        for block in range(blocks if length else 0):
            parts[block] += summed_square_displacement(positions[block * length : (block + 1) * length], length)
    whole /= len(atoms)
    parts /= len(atoms)
    times = step * np.arange(lags)
    begin, end = fit or tuple(step * round(part * length) for part in FIT)
    if fit and not 0 <= begin < end <= step * (length - 1) * (1 + 1e-9):
        raise ValueError(
            f"--fit is {begin:g} to {end:g} ps; expected two rising lags within one of {blocks} blocks of "
            f"{step * max(length - 1, 0):g} ps. Take other lags, or fewer --blocks"
        )
    near = 1e-6 * step
    some = np.flatnonzero((times[:length] >= max(begin - near, near)) & (times[:length] <= end + near))
    if len(some) < POINTS:
        return Displacement(times, whole, None)
    slopes = [float(np.polyfit(times[some], part[some], 1)[0]) / 6 for part in parts]
    moving = whole[some].min() > 0
    diffusion = Diffusion(
        float(np.polyfit(times[some], whole[some], 1)[0]) / 6,
        float(np.std(slopes, ddof=1) / np.sqrt(blocks)),
        float(np.polyfit(np.log(times[some]), np.log(whole[some]), 1)[0]) if moving else 0.0,
        float(times[some[0]]),
        float(times[some[-1]]),
    )
    return Displacement(times, whole, diffusion)
