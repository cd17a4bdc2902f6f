"""CPU kernel of the radial functions."""

from __future__ import annotations

import math
from collections import namedtuple

from mlip.kernels.arithmetic import CHANGES, FEATURES, GRADIENTS, cutoff_value, exponential
from mlip.kernels.compile import kernel

# Radial functions: values (F,2) hold eta and r_s; class_of[center, neighbor] is a row of columns (C,F) or -1.
RadialGroup = namedtuple("RadialGroup", "cutoff cutoff_kind values class_of columns")


@kernel
def radial(product, first, last, pairs, group, given, result):
    """Radial functions of centers first to last."""
    cutoff2 = group.cutoff * group.cutoff
    for i in range(first, last):
        for p in range(pairs.start[i], pairs.start[i + 1]):
            row = group.class_of[pairs.element[i], pairs.neighbor[p]]
            x, y, z = pairs.vectors[p, 0], pairs.vectors[p, 1], pairs.vectors[p, 2]
            r2 = x * x + y * y + z * z
            if row < 0 or r2 >= cutoff2:
                continue
            r = math.sqrt(r2)
            fc, slope = cutoff_value(r, group.cutoff, group.cutoff_kind)
            columns = group.columns[row]
            if product == FEATURES:
                for g in range(group.values.shape[0]):
                    d = r - group.values[g, 1]
                    result[i, columns[g]] += fc * exponential(-group.values[g, 0] * d * d)
                continue
            total = 0.0
            change = 0.0
            if product == CHANGES:
                change = (x * given[p, 0] + y * given[p, 1] + z * given[p, 2]) / r
            for g in range(group.values.shape[0]):
                d = r - group.values[g, 1]
                derivative = (slope - 2.0 * group.values[g, 0] * d * fc) * exponential(-group.values[g, 0] * d * d)
                if product == GRADIENTS:
                    total += given[i, columns[g]] * derivative
                elif product == CHANGES:
                    result[i, columns[g]] += change * derivative
                else:
                    result[3 * p, columns[g]] += derivative / r * x
                    result[3 * p + 1, columns[g]] += derivative / r * y
                    result[3 * p + 2, columns[g]] += derivative / r * z
            if product == GRADIENTS:
                result[p, 0] += total / r * x
                result[p, 1] += total / r * y
                result[p, 2] += total / r * z
