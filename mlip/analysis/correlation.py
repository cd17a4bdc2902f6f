"""Correlations in time by fast Fourier transform."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.fft import irfft, next_fast_len, rfft


def autocorrelation(values: Float[np.ndarray, "T K"], lags: int) -> Float[np.ndarray, "L"]:
    r"""Sum over columns and time origins of products a lag apart.

    .. math:: c_m = \sum_k \sum_{t=0}^{T-1-m} x_{tk}\, x_{t+m,k}

    Source: Wiener-Khinchin theorem, with zeros behind the values so that the end never meets the start.
    """
    size = next_fast_len(len(values) + lags, real=True)
    spectrum = rfft(values, size, axis=0)
    return irfft((spectrum.real**2 + spectrum.imag**2).sum(axis=1), size)[:lags]


def summed_square_displacement(positions: Float[np.ndarray, "T n 3"], lags: int) -> Float[np.ndarray, "L"]:
    r"""Squared displacements a lag apart, summed over atoms and averaged over time origins (Å²).

    .. math:: \sum_i \frac{1}{T - m} \sum_{t=0}^{T-1-m} |r_i(t + m) - r_i(t)|^2

    The square is written out: sums of squares, cumulated, less twice the autocorrelation.

    Source: Calandrini, Pellegrini, Calligari, Hinsen, Kneller, Coll. SFN 12, 201 (2011), section 3.2.1.
    """
    frames = len(positions)
    flat = positions.reshape(frames, -1)
    flat = flat - flat.mean(axis=0)
    square = np.append(0.0, np.cumsum((flat**2).sum(axis=1)))
    lag = np.arange(lags)
    both = square[frames - lag] + square[frames] - square[lag]
    result = (both - 2 * autocorrelation(flat, lags)) / (frames - lag)
    result[0] = 0.0
    return np.maximum(result, 0.0)  # rounding
