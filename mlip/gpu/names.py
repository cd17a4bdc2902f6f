"""Constants of the kernels, as Triton wants them."""

from __future__ import annotations

from triton.language import constexpr

FEATURES, GRADIENTS, CHANGES, JACOBIAN = constexpr(0), constexpr(1), constexpr(2), constexpr(3)  # products
RADIAL, NARROW, WIDE, SHIFTED = constexpr(0), constexpr(1), constexpr(2), constexpr(3)  # formulas
COSINE, TANH, POLYNOMIAL = constexpr(0), constexpr(1), constexpr(2)  # cutoff functions
REAL = constexpr(-1)  # in place of the number of bits of the largest exponent, if the exponents are not whole
