"""What all kernels share: names of products, and elementary functions that vectorize, in float64 and in float32.

The library's exp, cos, sin and tanh do not vectorize. These are near-minimax polynomials: Chebyshev fits made with 40
digits, in float32 with fewer terms.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mlip.kernels.compile import kernel

FEATURES, GRADIENTS, CHANGES, JACOBIAN = 0, 1, 2, 3


@intrinsic
def is_single(typingctx, x):
    """Whether x is a float32; known when compiling, so only one branch is left."""

    def codegen(context, builder, signature, arguments):
        return ir.Constant(ir.IntType(1), int(x == types.float32))

    return types.boolean(x), codegen


@intrinsic
def _nearest(typingctx, x):
    """The nearest whole number, as a float."""

    def codegen(context, builder, signature, arguments):
        return builder.call(builder.module.declare_intrinsic("llvm.rint", [arguments[0].type]), arguments)

    return x(x), codegen


@intrinsic
def _power_of_two(typingctx, n):
    """2^n of a whole number n, by setting the bits of the exponent."""
    width, mantissa, bias = (32, 23, 127) if n == types.float32 else (64, 52, 1023)

    def codegen(context, builder, signature, arguments):
        whole = ir.IntType(width)
        shifted = builder.fadd(arguments[0], ir.Constant(arguments[0].type, 1.5 * 2.0**mantissa))  # n in the last bits
        bits = builder.add(builder.bitcast(shifted, whole), ir.Constant(whole, bias))
        return builder.bitcast(builder.shl(bits, ir.Constant(whole, mantissa)), arguments[0].type)

    return n(n), codegen


@intrinsic
def _exponent(typingctx, x):
    """The whole number n of a positive x = 2^n m, as a float; m is from 0.7 to 1.4."""
    width, mantissa = (32, 23) if x == types.float32 else (64, 52)

    def codegen(context, builder, signature, arguments):
        whole = ir.IntType(width)
        bits = builder.bitcast(arguments[0], whole)
        one = builder.bitcast(ir.Constant(arguments[0].type, 2.0**-0.5), whole)
        above = builder.ashr(builder.sub(bits, one), ir.Constant(whole, mantissa))
        return builder.sitofp(above, arguments[0].type)

    return x(x), codegen


@kernel(inline="always")
def logarithm(x):
    """Logarithm of x > 0; absolute error 1e-15 (or relative, where that is more), in float32 1e-7."""
    real = type(x)
    n = _exponent(x)
    m = x * _power_of_two(-n)
    s = (m - real(1.0)) / (m + real(1.0))
    q = s * s
    if is_single(x):  # the series of the inverse hyperbolic tangent
        p = real(2.0 / 9.0)
    else:
        p = real(2.0 / 21.0)
        p = p * q + real(2.0 / 19.0)
        p = p * q + real(2.0 / 17.0)
        p = p * q + real(2.0 / 15.0)
        p = p * q + real(2.0 / 13.0)
        p = p * q + real(2.0 / 11.0)
        p = p * q + real(2.0 / 9.0)
    p = p * q + real(2.0 / 7.0)
    p = p * q + real(2.0 / 5.0)
    p = p * q + real(2.0 / 3.0)
    p = p * q + real(2.0)
    return n * real(0.6931471805599453) + s * p


@kernel(inline="always")
def exponential(x):
    """Exponential of x <= 0 (or not far above); relative error 1e-15, in float32 1e-7.

    It ends at e^-600, in float32 e^-34: what is below would only make products that are slow to compute with, because
    their floats are denormal.
    """
    real = type(x)
    if is_single(x):
        x = max(x, real(-34.0))
        n = _nearest(x * real(1.4426950408889634))
        r = x - n * real(0.693359375)
        r = r + n * real(2.1219444005469058e-04)
        p = real(0.0013941108433972675)
        p = p * r + real(0.0083751263981533357)
        p = p * r + real(0.041666352896775157)
        p = p * r + real(0.16666415514653275)
        p = p * r + real(0.50000000471177577)
        p = p * r * r + r + real(1.0)
        return p * _power_of_two(n)
    x = max(x, real(-600.0))
    n = _nearest(x * real(1.4426950408889634))
    r = x - n * real(6.93147180369123816490e-01)
    r = r - n * real(1.90821492927058770002e-10)
    p = real(2.5110037605963778e-08)
    p = p * r + real(2.763263963904103e-07)
    p = p * r + real(2.755724091857897e-06)
    p = p * r + real(2.4801485482328492e-05)
    p = p * r + real(1.9841269890047114e-04)
    p = p * r + real(1.3888888952314775e-03)
    p = p * r + real(8.3333333333196006e-03)
    p = p * r + real(4.1666666666488095e-02)
    p = p * r + real(1.6666666666666681e-01)
    p = p * r + real(0.5)
    p = p * r * r + r + real(1.0)
    return p * _power_of_two(n)


@kernel(inline="always")
def half_cosine(s):
    """cos(pi/2 sqrt(s)) and sin(pi/2 sqrt(s)) / sqrt(s) for s from 0 to 1: no root, no division."""
    real = type(s)
    if is_single(s):
        c = real(-2.3824152439014106e-05)
        c = c * s + real(9.1772292419955668e-04)
        c = c * s + real(-2.0862686709227349e-02)
        c = c * s + real(2.5366932217269589e-01)
        c = c * s + real(-1.2337005342322364)
        b = real(1.5167170366408959e-04)
        b = b * s + real(-4.6741438381517776e-03)
        b = b * s + real(7.9689918329028496e-02)
        b = b * s + real(-6.4596375958353930e-01)
        return c * s + real(1.0), b * s + real(1.5707963200386016)
    c = real(-5.1251270107090762e-13)
    c = c * s + real(6.5623842967755843e-11)
    c = c * s + real(-6.3865610850537954e-09)
    c = c * s + real(4.7108744806670772e-07)
    c = c * s + real(-2.5202042359954066e-05)
    c = c * s + real(9.1926027483591805e-04)
    c = c * s + real(-2.0863480763352421e-02)
    c = c * s + real(2.5366950790104797e-01)
    c = c * s + real(-1.2337005501361698)
    b = real(-4.2502807923692644e-14)
    b = b * s + real(6.0642540263155524e-12)
    b = b * s + real(-6.6880036321567915e-10)
    b = b * s + real(5.6921726984781161e-08)
    b = b * s + real(-3.5988432342295585e-06)
    b = b * s + real(1.6044118478709679e-04)
    b = b * s + real(-4.6817541353186476e-03)
    b = b * s + real(7.9692626246167042e-02)
    b = b * s + real(-6.4596409750624625e-01)
    return c * s + real(1.0), b * s + real(1.5707963267948966)


@kernel(inline="always")
def sine_and_cosine(y):
    """sin(pi y) and cos(pi y)."""
    real = type(y)
    n = _nearest(y)
    d = real(2.0) * (y - n)
    sign = real(1.0) - real(2.0) * abs(n - real(2.0) * _nearest(real(0.5) * n))
    c, b = half_cosine(d * d)
    return sign * d * b, sign * c


@kernel(inline="always")
def arc_cosine(x):
    """Arc cosine of x from -1 to 1, by the arc sine of half the angle from x = 1/2 on; as accurate as x allows."""
    real = type(x)
    far = abs(x) > real(0.5)
    z = real(0.5) - real(0.5) * abs(x) if far else x * x
    s = math.sqrt(z)
    if is_single(x):
        p = real(3.8085023561092654e-02)
        p = p * z + real(2.6554542206161328e-02)
        p = p * z + real(4.5001380069910168e-02)
        p = p * z + real(7.4988550726008211e-02)
        p = p * z + real(1.6666672414795305e-01)
    else:
        p = real(2.8169218060881413e-02)
        p = p * z + real(-1.0749050339697808e-02)
        p = p * z + real(1.6035514349148823e-02)
        p = p * z + real(7.8029494773533171e-03)
        p = p * z + real(1.1875494382636923e-02)
        p = p * z + real(1.3929652902326633e-02)
        p = p * z + real(1.7355259955786322e-02)
        p = p * z + real(2.2372047631744510e-02)
        p = p * z + real(3.0381947367098481e-02)
        p = p * z + real(4.4642857103423643e-02)
        p = p * z + real(7.5000000000207644e-02)
        p = p * z + real(1.6666666666666649e-01)
    arc = s + s * z * p
    angle = arc + arc if far else real(0.5 * math.pi) - arc
    return angle if x > real(0.0) else real(math.pi) - angle
