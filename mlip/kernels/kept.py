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
    """Products of K vectors with the transposed Jacobian: given (K,N,D) by atom, result (K,P,3) by pair."""
    g = np.empty((given.shape[0], rows.jacobian.shape[2]), rows.jacobian.dtype)
    for n in range(chosen.structure.shape[0]):
        last = -1
        for row in range(rows.start[chosen.structure[n]], rows.start[chosen.structure[n] + 1]):
            center = rows.center[row]
            if center != last:
                for k in range(given.shape[0]):
                    here = given[k, chosen.atom[n] + center]
                    for b in range(g.shape[1]):
                        g[k, b] = here[rows.columns[b]]
                last = center
            p = chosen.pair[n] + rows.pair[row]
            for k in range(given.shape[0]):
                result[k, p, 0], result[k, p, 1], result[k, p, 2] = _projected(rows.jacobian[row], g[k])


@kernel(allocates=True)
def kept_changes(rows, chosen, given, result):
    """Products of K vectors with the Jacobian: given (K,P,3) by pair, added to result (K,N,D) by atom."""
    total = np.zeros((given.shape[0], rows.jacobian.shape[2]), rows.jacobian.dtype)
    for n in range(chosen.structure.shape[0]):
        begin, end = rows.start[chosen.structure[n]], rows.start[chosen.structure[n] + 1]
        for row in range(begin, end):
            for k in range(given.shape[0]):
                _add(rows.jacobian[row], given[k, chosen.pair[n] + rows.pair[row]], total[k])
            if row + 1 == end or rows.center[row + 1] != rows.center[row]:
                for k in range(given.shape[0]):
                    here = result[k, chosen.atom[n] + rows.center[row]]
                    for b in range(total.shape[1]):
                        here[rows.columns[b]] += total[k, b]
                        total[k, b] = 0


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
