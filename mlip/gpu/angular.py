"""Kernels of the angular functions.

A term of a triple is fc · A(u) · R(argument), with few different angular factors A (M of them) and radial factors R (S)
in a set of functions: a program makes each of them once for a block of T triples, and what a function then costs is a
multiplication and an addition in a (M,S,T) block. Triples are the last axis everywhere, because Triton deals that one
to the threads: a thread has a triple and all functions of it in its registers.

With the vectors r_j and r_k of a triple, a change of its three scalars is linear in jj = r_j · dr_j, kk = r_k · dr_k
and cross = r_j · dr_k + r_k · dr_j; `_triple` gives the nine factors.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mlip.gpu.names import AXILROD_TELLER, CHEBYSHEV, FEATURES, NARROW, REAL, SHIFTED, WIDE
from mlip.gpu.pairs import cutoff_value, dot, neighbor


@triton.jit
def _triple(table, pairs, scale, j, k, mask, KIND: tl.constexpr, CUTOFF: tl.constexpr, MOVED: tl.constexpr):
    """Both vectors; u, argument and fc of triples; and by jj, kk and cross the changes of u fc, argument fc, and fc."""
    x_j, y_j, z_j, r_j, i_j, f_j, s_j = neighbor(table, pairs, j, mask)
    x_k, y_k, z_k, r_k, i_k, f_k, s_k = neighbor(table, pairs, k, mask)
    u = (x_j * x_k + y_j * y_k + z_j * z_k) * i_j * i_k
    fc = f_j * f_k
    w_j, w_k, w_cross = s_j * f_k, f_j * s_k, 0.0 * fc
    if KIND == NARROW:
        dx, dy, dz = x_k - x_j, y_k - y_j, z_k - z_j
        r_jk2 = dx * dx + dy * dy + dz * dz
        argument = r_j * r_j + r_k * r_k + r_jk2
        cutoff2 = tl.load(scale) * tl.load(scale)
        near = mask & (r_jk2 < cutoff2)
        r_jk = tl.sqrt(tl.where(near, r_jk2, cutoff2))
        f_jk, slope = cutoff_value(r_jk, scale, CUTOFF)
        f_jk, s_jk = tl.where(near, f_jk, 0.0), tl.where(near, slope / r_jk, 0.0)
        w_cross = -fc * s_jk
        w_j, w_k = w_j * f_jk - w_cross, w_k * f_jk - w_cross
        fc = fc * f_jk
        v_j, v_k, v_cross = 4.0 * fc, 4.0 * fc, -2.0 * fc
        if MOVED:
            r_s = tl.load(scale + 2)
            d_j, d_k, d_jk = r_j - r_s, r_k - r_s, r_jk - r_s
            argument = d_j * d_j + d_k * d_k + d_jk * d_jk
            v_cross = -2.0 * fc * d_jk / r_jk
            v_j, v_k = 2.0 * fc * d_j * i_j - v_cross, 2.0 * fc * d_k * i_k - v_cross
        u_cross = fc * i_j * i_k
    elif KIND == WIDE:
        argument = r_j * r_j + r_k * r_k
        v_j, v_k, v_cross = 2.0 * fc, 2.0 * fc, 0.0 * fc
        if MOVED:
            r_s = tl.load(scale + 2)
            d_j, d_k = r_j - r_s, r_k - r_s
            argument = d_j * d_j + d_k * d_k
            v_j, v_k = 2.0 * fc * d_j * i_j, 2.0 * fc * d_k * i_k
        u_cross = fc * i_j * i_k
    else:
        argument = 0.5 * (r_j + r_k)
        if KIND > SHIFTED and KIND < CHEBYSHEV:
            factor, by_j, by_k, by_jk = _dipoles(tl.load(scale + 2), x_j, y_j, z_j, x_k, y_k, z_k, r_j, r_k, mask)
            w_j, w_k, w_cross = w_j * factor + fc * (by_j + by_jk), w_k * factor + fc * (by_k + by_jk), -fc * by_jk
            fc = fc * factor
        v_j, v_k, v_cross = 0.5 * fc * i_j, 0.5 * fc * i_k, 0.0 * fc
        u_cross = fc * i_j * i_k
        if KIND < AXILROD_TELLER:
            u = u * 19.0 / 20.0  # 0.95, see the package's docstring
            u_cross = u_cross * 19.0 / 20.0
    u_j, u_k = -u * fc * i_j * i_j, -u * fc * i_k * i_k
    return x_j, y_j, z_j, x_k, y_k, z_k, u, argument, fc, u_j, u_k, u_cross, v_j, v_k, v_cross, w_j, w_k, w_cross


@triton.jit
def _dipoles(power, x_j, y_j, z_j, x_k, y_k, z_k, r_j, r_k, mask):
    """Factor of Axilrod, Teller and Muto, and its derivatives by r_j, r_k and r_jk divided by these distances.

    With the squares a, b, c of the three distances, the scalar products d, e, f at the corners i, j, k, of which
    a = d + e, b = d + f, c = e + f, the product of the cosines is d e f / (a b c).
    """
    dx, dy, dz = x_k - x_j, y_k - y_j, z_k - z_j
    a, b = tl.where(mask, r_j * r_j, 1.0), tl.where(mask, r_k * r_k, 1.0)
    c = tl.where(mask, dx * dx + dy * dy + dz * dz, 1.0)
    d = x_j * x_k + y_j * y_k + z_j * z_k
    e, f = a - d, b - d
    falloff = tl.exp(-0.5 * power * tl.log(a * b * c))
    g = 3.0 * falloff / (a * b * c)
    h = -power * falloff - (power + 2.0) * d * e * f * g
    by_j, by_k = h / a + g * (d * f + e * f - d * e), h / b + g * (d * e + e * f - d * f)
    return falloff + d * e * f * g, by_j, by_k, h / c + g * (d * e + d * f - e * f)


@triton.jit
def _polynomials(u, n, LARGEST: tl.constexpr):
    """Chebyshev's polynomials of the degrees n (M,1), and their derivatives (M,T)."""
    before, slope_before = u[None, :], 0.0 * u[None, :] + 1.0
    now, slope = slope_before, 0.0 * slope_before
    A, dA = now + 0.0 * n, slope + 0.0 * n
    for degree in tl.static_range(LARGEST):
        following, slope_following = 2.0 * u[None, :] * now - before, 2.0 * (now + u[None, :] * slope) - slope_before
        before, slope_before, now, slope = now, slope, following, slope_following
        A, dA = tl.where(n == degree + 1, now, A), tl.where(n == degree + 1, slope, dA)
    return A, dA


@triton.jit
def _angular(u, angles, KIND: tl.constexpr, ANGLES: tl.constexpr, BITS: tl.constexpr):
    """A and dA/du (M,T), A = 2 base^(n+1), base = (1 + a u + b sqrt(1 - u²)) / 2; `angles` (3,M) are n, a, b.

    Or Chebyshev's polynomials of the degrees n.
    """
    m = tl.arange(0, ANGLES)[:, None]
    exponent, a = tl.load(angles + m), tl.load(angles + ANGLES + m)
    if KIND >= AXILROD_TELLER:
        return _polynomials(u, exponent, BITS)
    else:
        return _powers(u, exponent, a, angles, m, KIND, ANGLES, BITS)


@triton.jit
def _powers(u, exponent, a, angles, m, KIND: tl.constexpr, ANGLES: tl.constexpr, BITS: tl.constexpr):
    """The first of the two."""
    slope = a
    base = 1.0 + a * u[None, :]
    if KIND >= SHIFTED:
        b = tl.load(angles + 2 * ANGLES + m)
        w = tl.sqrt(1.0 - u * u)
        base += b * w[None, :]
        slope = a - b * (u / w)[None, :]
    base = 0.5 * tl.maximum(base, 0.0)
    if BITS == REAL:
        positive = base > 0.0
        power = tl.exp2(exponent * tl.log2(tl.where(positive, base, 1.0)))
        power = tl.where(positive | (exponent == 0.0), power, 0.0)
    else:
        power = base * 0.0 + 1.0
        square = base
        left = exponent.to(tl.int32)
        for _ in tl.static_range(BITS):
            power = tl.where((left & 1) == 1, power * square, power)
            square = square * square
            left = left >> 1
    return 2.0 * power * base, (exponent + 1.0) * power * slope


@triton.jit
def _radial(argument, shells, KIND: tl.constexpr, SHELLS: tl.constexpr):
    """R and dR/dargument (S,T); `shells` (2,S) are eta and r_s."""
    s = tl.arange(0, SHELLS)[:, None]
    eta = tl.load(shells + s)
    if KIND >= SHIFTED:
        d = argument[None, :] - tl.load(shells + SHELLS + s)
        value = tl.exp(-eta * d * d)
        return value, -2.0 * eta * d * value
    else:
        value = tl.exp(-eta * argument[None, :])
        return value, -eta * value


@triton.jit
def _changes(A, dA, R, dR, of_u, of_argument, of_fc):
    """Changes (M,S,T) of the functions by those of their factors."""
    p, q = dR * of_argument[None, :] + R * of_fc[None, :], R * of_u[None, :]
    return A[:, None, :] * p[None, :, :] + dA[:, None, :] * q[None, :, :]


@triton.jit
def angular_sums(
    element, start, table, given, result, scale, angles, shells, class_of, columns, combinations,
    pairs, elements, width,
    PRODUCT: tl.constexpr, KIND: tl.constexpr, CUTOFF: tl.constexpr, MOVED: tl.constexpr, BITS: tl.constexpr,
    T: tl.constexpr, ANGLES: tl.constexpr, SHELLS: tl.constexpr,
):  # fmt: skip
    """G, or J v with v (P,3) in the order of the table, of one center and one combination of elements.

    `columns` (C,M,S) is -1 where there is no function.
    """
    i = tl.program_id(0)
    a, b = tl.load(combinations + 2 * tl.program_id(1)), tl.load(combinations + 2 * tl.program_id(1) + 1)
    row = tl.load(class_of + (tl.load(element + i) * elements + a) * elements + b)
    first_j, first_k = tl.load(start + i * elements + a), tl.load(start + i * elements + b)
    count_j = tl.load(start + i * elements + a + 1) - first_j
    count_k = tl.load(start + i * elements + b + 1) - first_k
    count = tl.where(a == b, count_j * (count_j - 1) // 2, count_j * count_k)
    if (row < 0) | (count == 0):
        return
    total = tl.zeros((ANGLES, SHELLS, T), table.dtype.element_ty)
    for t0 in range(0, count, T):
        t = t0 + tl.arange(0, T)
        mask = t < count
        # Of equal elements each unordered pair once: j with those 1, 2, ... half the circle after it.
        j = t % count_j
        k = tl.where(a == b, (j + t // count_j + 1) % count_j, t // count_j)
        j, k = first_j + j, first_k + k
        x_j, y_j, z_j, x_k, y_k, z_k, u, argument, fc, u_j, u_k, u_cross, v_j, v_k, v_cross, w_j, w_k, w_cross = (
            _triple(table, pairs, scale, j, k, mask, KIND, CUTOFF, MOVED)
        )
        A, dA = _angular(u, angles, KIND, ANGLES, BITS)
        R, dR = _radial(argument, shells, KIND, SHELLS)
        if PRODUCT == FEATURES:
            total += A[:, None, :] * (R * fc[None, :])[None, :, :]
        else:
            jj, kk = dot(given, j, x_j, y_j, z_j, mask), dot(given, k, x_k, y_k, z_k, mask)
            cross = dot(given, j, x_k, y_k, z_k, mask) + dot(given, k, x_j, y_j, z_j, mask)
            of_u = u_j * jj + u_k * kk + u_cross * cross
            of_argument = v_j * jj + v_k * kk + v_cross * cross
            of_fc = w_j * jj + w_k * kk + w_cross * cross
            total += _changes(A, dA, R, dR, of_u, of_argument, of_fc)
    function = tl.arange(0, ANGLES)[:, None] * SHELLS + tl.arange(0, SHELLS)[None, :]
    column = tl.load(columns + row * ANGLES * SHELLS + function)
    tl.store(result + i.to(tl.int64) * width + column, tl.sum(total, axis=2), mask=column >= 0)


@triton.jit
def angular_gradients(
    element, start, order, table, given, result, scale, angles, shells, class_of, columns,
    pairs, elements, width,
    KIND: tl.constexpr, CUTOFF: tl.constexpr, MOVED: tl.constexpr, BITS: tl.constexpr,
    J: tl.constexpr, K: tl.constexpr, ANGLES: tl.constexpr, SHELLS: tl.constexpr,
):  # fmt: skip
    """Add Jᵀg of the pairs j of one center and one element, from g (N,D): each with every other k of the center."""
    i, a = tl.program_id(0), tl.program_id(1)
    of_center = class_of + (tl.load(element + i) * elements + a) * elements
    last_j = tl.load(start + i * elements + a + 1)
    function = tl.arange(0, ANGLES)[:, None] * SHELLS + tl.arange(0, SHELLS)[None, :]
    t = tl.arange(0, J * K)
    step = J * tl.num_programs(2)
    for j0 in range(tl.load(start + i * elements + a) + J * tl.program_id(2), last_j, step):
        j = j0 + t // K
        g_x = tl.zeros((J * K,), table.dtype.element_ty)
        g_y, g_z = g_x, g_x
        for b in range(elements):
            row = tl.load(of_center + b)
            first_k, last_k = tl.load(start + i * elements + b), tl.load(start + i * elements + b + 1)
            last_k = tl.where(row < 0, first_k, last_k)
            column = tl.load(columns + row * ANGLES * SHELLS + function, mask=row + 0 * function >= 0, other=-1)
            weight = tl.load(given + i.to(tl.int64) * width + column, mask=column >= 0, other=0.0)[:, :, None]
            for k0 in range(first_k, last_k, K):
                k = k0 + t % K
                mask = (j < last_j) & (k < last_k) & (j != k)
                x_j, y_j, z_j, x_k, y_k, z_k, u, argument, _, u_j, _, u_cross, v_j, _, v_cross, w_j, _, w_cross = (
                    _triple(table, pairs, scale, j, k, mask, KIND, CUTOFF, MOVED)
                )
                A, dA = _angular(u, angles, KIND, ANGLES, BITS)
                R, dR = _radial(argument, shells, KIND, SHELLS)
                by_shell = tl.sum(A[:, None, :] * weight, axis=0)
                of_u = tl.sum(tl.sum(dA[:, None, :] * weight, axis=0) * R, axis=0)
                of_argument, of_fc = tl.sum(by_shell * dR, axis=0), tl.sum(by_shell * R, axis=0)
                along = of_u * u_j + of_argument * v_j + of_fc * w_j
                across = of_u * u_cross + of_argument * v_cross + of_fc * w_cross
                g_x += along * x_j + across * x_k
                g_y += along * y_j + across * y_k
                g_z += along * z_j + across * z_k
        place = j0 + tl.arange(0, J)
        mask = place < last_j
        to = result + 3 * tl.load(order + place, mask=mask, other=0).to(tl.int64)
        tl.store(to, tl.load(to, mask=mask) + tl.sum(tl.reshape(g_x, (J, K)), axis=1), mask=mask)
        tl.store(to + 1, tl.load(to + 1, mask=mask) + tl.sum(tl.reshape(g_y, (J, K)), axis=1), mask=mask)
        tl.store(to + 2, tl.load(to + 2, mask=mask) + tl.sum(tl.reshape(g_z, (J, K)), axis=1), mask=mask)


@triton.jit
def angular_jacobian(
    element, start, order, table, result, scale, angles, shells, class_of, columns,
    pairs, elements, width,
    KIND: tl.constexpr, CUTOFF: tl.constexpr, MOVED: tl.constexpr, BITS: tl.constexpr,
    K: tl.constexpr, ANGLES: tl.constexpr, SHELLS: tl.constexpr,
):  # fmt: skip
    """J (3P,D) of the pairs of one center and one element."""
    i, a = tl.program_id(0), tl.program_id(1)
    of_center = class_of + (tl.load(element + i) * elements + a) * elements
    function = tl.arange(0, ANGLES)[:, None] * SHELLS + tl.arange(0, SHELLS)[None, :]
    for j in range(tl.load(start + i * elements + a), tl.load(start + i * elements + a + 1)):
        to = result + 3 * tl.load(order + j).to(tl.int64) * width
        for b in range(elements):
            row = tl.load(of_center + b)
            first_k, last_k = tl.load(start + i * elements + b), tl.load(start + i * elements + b + 1)
            last_k = tl.where(row < 0, first_k, last_k)
            column = tl.load(columns + row * ANGLES * SHELLS + function, mask=row + 0 * function >= 0, other=-1)
            total_x = tl.zeros((ANGLES, SHELLS, K), table.dtype.element_ty)
            total_y, total_z = total_x, total_x
            for k0 in range(first_k, last_k, K):
                k = k0 + tl.arange(0, K)
                mask = (k < last_k) & (j != k)
                x_j, y_j, z_j, x_k, y_k, z_k, u, argument, _, u_j, _, u_cross, v_j, _, v_cross, w_j, _, w_cross = (
                    _triple(table, pairs, scale, j + 0 * k, k, mask, KIND, CUTOFF, MOVED)
                )
                A, dA = _angular(u, angles, KIND, ANGLES, BITS)
                R, dR = _radial(argument, shells, KIND, SHELLS)
                # As J v, with one axis of r_j after the other for v.
                u_x, v_x, w_x = u_j * x_j + u_cross * x_k, v_j * x_j + v_cross * x_k, w_j * x_j + w_cross * x_k
                u_y, v_y, w_y = u_j * y_j + u_cross * y_k, v_j * y_j + v_cross * y_k, w_j * y_j + w_cross * y_k
                u_z, v_z, w_z = u_j * z_j + u_cross * z_k, v_j * z_j + v_cross * z_k, w_j * z_j + w_cross * z_k
                total_x += _changes(A, dA, R, dR, u_x, v_x, w_x)
                total_y += _changes(A, dA, R, dR, u_y, v_y, w_y)
                total_z += _changes(A, dA, R, dR, u_z, v_z, w_z)
            tl.store(to + column, tl.sum(total_x, axis=2), mask=column >= 0)
            tl.store(to + width + column, tl.sum(total_y, axis=2), mask=column >= 0)
            tl.store(to + 2 * width + column, tl.sum(total_z, axis=2), mask=column >= 0)
