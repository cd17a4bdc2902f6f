"""What n2p2 computes for a list of compact narrow functions: not always the product that each one says.

n2p2 computes functions of the same center and neighbors together, sorted by shape and edges, and computes C(r_jk)
anew only where the edges differ from those of the function before (`SymGrpCompAngn::sortMembers`): a function with the
same edges but another shape gets the C(r_jk) of the function before. Potentials fitted with it rely on that.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from mlip.descriptors.compact_functions import CompactNarrow
from mlip.descriptors.functions import SymmetryFunction

logger = logging.getLogger(__name__)


def as_n2p2_computes(functions: Sequence[SymmetryFunction]) -> list[SymmetryFunction]:
    """The functions, in their order, with the shape of r_jk that n2p2 takes when these are all functions it has."""
    together: dict[tuple, list[int]] = defaultdict(list)
    result = list(functions)
    for place, f in enumerate(functions):
        if isinstance(f, CompactNarrow):
            together[f.center, f.neighbors, f.weights].append(place)
    for places in together.values():
        alone = {p: replace(f, shape_jk=None) for p in places if isinstance(f := functions[p], CompactNarrow)}
        before: CompactNarrow | None = None
        for place in sorted(places, key=lambda p: _order(alone[p])):
            before = result[place] = _after(before, alone[place])
    return result


def _order(f: CompactNarrow) -> tuple[str, float, float, float, float]:
    return f.shape, f.cutoff, f.inner, f.theta_low, f.theta_high


def _after(before: CompactNarrow | None, f: CompactNarrow) -> CompactNarrow:
    """A function as n2p2 computes it after another one."""
    if before is None or (before.cutoff, before.inner) != (f.cutoff, f.inner):
        return f
    shape = before.shape_jk or before.shape
    if shape == f.shape:
        return f
    if before.theta_low <= f.theta_low and f.theta_high <= before.theta_high:
        return replace(f, shape_jk=shape)
    logger.warning(
        "%s: n2p2 gives its r_jk the shape %s between %g° and %g° only, and its value jumps there; here the shape is "
        "%s everywhere, so values differ from n2p2's",
        f, shape, before.theta_low, before.theta_high, f.shape,
    )  # fmt: skip
    return f
