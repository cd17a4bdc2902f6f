"""CPU kernel that finds the atoms whose features are outside of the training set's."""

from __future__ import annotations

from collections import namedtuple

from mlip.kernels.compile import kernel

# Ranges of E elements: which functions the features are (E,D), lowest and highest (E,D), the inverse of the widths that
# distances are measured in (E,D), all in the features' precision, and the distance up to which nothing counts. What is
# found of the atoms: severity (N,), function (N,), count (N,); of no atoms if nobody asks.
Watch = namedtuple("Watch", "columns lowest highest per_width tolerance severity function count")


@kernel
def find_outside(watch, first, element, features):
    """Of atoms from `first` on: the largest distance outside, its function (-1 inside), how many functions are outside.

    `disjoint` is not promised: a loop that compares and remembers does not vectorize.
    """
    for a in range(element.shape[0]):
        e, worst, which, found = element[a], 0.0, -1, 0
        for d in range(features.shape[1]):
            beyond = max(watch.lowest[e, d] - features[a, d], features[a, d] - watch.highest[e, d])
            distance = beyond * watch.per_width[e, d]
            if distance > watch.tolerance:
                found += 1
                if distance > worst:
                    worst, which = distance, watch.columns[e, d]
        watch.severity[first + a], watch.function[first + a], watch.count[first + a] = worst, which, found
