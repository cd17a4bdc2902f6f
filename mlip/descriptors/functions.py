"""All kinds of symmetry functions by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mlip.descriptors.angular_functions import (
    AxilrodTeller,
    BehlerAngular,
    Chebyshev,
    Narrow,
    Shifted,
    ShiftedAxilrodTeller,
    Wide,
)
from mlip.descriptors.compact_functions import CompactNarrow, CompactRadial, CompactWide
from mlip.descriptors.radial_functions import Bessel, LogNormal, Radial
from mlip.descriptors.symmetry_function import SymmetryFunction, Triples

__all__ = [
    "KINDS", "AxilrodTeller", "BehlerAngular", "Bessel", "Chebyshev", "CompactNarrow", "CompactRadial", "CompactWide",
    "LogNormal", "Narrow", "Radial", "Shifted", "ShiftedAxilrodTeller", "SymmetryFunction", "Triples", "Wide",
    "described", "function_from_dict",
]  # fmt: skip

KINDS: dict[str, type[SymmetryFunction]] = {
    kind.kind: kind
    for kind in (
        Radial,
        LogNormal,
        Bessel,
        CompactRadial,
        Narrow,
        Wide,
        Shifted,
        ShiftedAxilrodTeller,
        Chebyshev,
        AxilrodTeller,
        CompactNarrow,
        CompactWide,
    )
}


def function_from_dict(values: dict[str, Any]) -> SymmetryFunction:
    """The inverse of `SymmetryFunction.as_dict`, also of one that went through JSON."""
    values = dict(values)
    tuples = {"neighbors": tuple(values["neighbors"]), "weights": tuple(map(tuple, values.get("weights", ())))}
    return KINDS[values.pop("kind")](**{**values, **tuples})


def described(functions: Sequence[SymmetryFunction]) -> str:
    """How many functions of which kind up to which cutoff, such as "48 radial to 6 Å, 96 shifted to 5 Å"."""
    counts = Counter((function.kind, function.cutoff) for function in functions)
    return ", ".join(f"{count} {kind} to {cutoff:g} Å" for (kind, cutoff), count in counts.items())
