"""Constants of the kernels, as Triton wants them."""

from __future__ import annotations

from triton.language import constexpr

FEATURES, GRADIENTS, CHANGES, JACOBIAN = constexpr(0), constexpr(1), constexpr(2), constexpr(3)  # products
# Formulas: those of one neighbor first, then those of two, then among these those of the mean distance.
RADIAL, LOG_NORMAL, BESSEL, NARROW = constexpr(0), constexpr(1), constexpr(2), constexpr(3)
WIDE, SHIFTED, SHIFTED_AXILROD_TELLER = constexpr(4), constexpr(5), constexpr(6)
AXILROD_TELLER, CHEBYSHEV = constexpr(7), constexpr(8)
# Cutoff functions, with n2p2's numbers.
HARD, COSINE, TANH, TANH_NORMALIZED = constexpr(0), constexpr(1), constexpr(2), constexpr(3)
EXPONENTIAL, POLYNOMIAL_1, POLYNOMIAL = constexpr(4), constexpr(5), constexpr(6)
POLYNOMIAL_3, POLYNOMIAL_4 = constexpr(7), constexpr(8)
REAL = constexpr(-1)  # in place of the number of bits of the largest exponent, if the exponents are not whole
