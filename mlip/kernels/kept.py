"""CPU kernels of the products with a kept Jacobian: each is one pass over the rows of some structures."""

from __future__ import annotations

import numpy as np

from mlip.kernels.compile import kernel

# rows: those of one column set, start (S+1,) of each structure's, pair and center (R,) counted within the structure and
# sorted by center, columns (B,), jacobian (R,3,B). chosen: structures (s,) that are asked for, and atom and pair (s,),
# where each one's begin in what is given and in the result. The inner loops are functions of their own, for then the
# compiler knows that nothing overlaps.


@kernel(allocates=True)
def kept_gradients(rows, chosen, given, result):
    """Product with the transposed Jacobian: given (N,D) by atom, result (P,3) by pair."""
    g = np.empty(rows.jacobian.shape[2], rows.jacobian.dtype)
    for n in range(chosen.structure.shape[0]):
        last = -1
        for row in range(rows.start[chosen.structure[n]], rows.start[chosen.structure[n] + 1]):
            center = rows.center[row]
            if center != last:
                here = given[chosen.atom[n] + center]
                for b in range(g.shape[0]):
                    g[b] = here[rows.columns[b]]
                last = center
            p = chosen.pair[n] + rows.pair[row]
            result[p, 0], result[p, 1], result[p, 2] = _projected(rows.jacobian[row], g)


@kernel(allocates=True)
def kept_changes(rows, chosen, given, result):
    """Product with the Jacobian: given (P,3) by pair, added to result (N,D) by atom."""
    total = np.zeros(rows.jacobian.shape[2], rows.jacobian.dtype)
    for n in range(chosen.structure.shape[0]):
        begin, end = rows.start[chosen.structure[n]], rows.start[chosen.structure[n] + 1]
        for row in range(begin, end):
            _add(rows.jacobian[row], given[chosen.pair[n] + rows.pair[row]], total)
            if row + 1 == end or rows.center[row + 1] != rows.center[row]:
                here = result[chosen.atom[n] + rows.center[row]]
                for b in range(total.shape[0]):
                    here[rows.columns[b]] += total[b]
                    total[b] = 0


@kernel
def _projected(jacobian, g):
    x = y = z = jacobian.dtype.type(0)
    for b in range(g.shape[0]):
        x += jacobian[0, b] * g[b]
        y += jacobian[1, b] * g[b]
        z += jacobian[2, b] * g[b]
    return x, y, z


@kernel
def _add(jacobian, change, total):
    x, y, z = change[0], change[1], change[2]
    for b in range(total.shape[0]):
        total[b] += x * jacobian[0, b] + y * jacobian[1, b] + z * jacobian[2, b]
