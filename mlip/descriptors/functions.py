"""All kinds of symmetry functions by name."""

from __future__ import annotations

from typing import Any

from mlip.descriptors.angular_functions import AxilrodTeller, BehlerAngular, Chebyshev, Narrow, Shifted, Wide
from mlip.descriptors.radial_functions import Bessel, LogNormal, Radial
from mlip.descriptors.symmetry_function import SymmetryFunction, Triples

__all__ = [
    "KINDS", "AxilrodTeller", "BehlerAngular", "Bessel", "Chebyshev", "LogNormal", "Narrow", "Radial", "Shifted",
    "SymmetryFunction", "Triples", "Wide", "function_from_dict",
]  # fmt: skip

KINDS: dict[str, type[SymmetryFunction]] = {
    kind.kind: kind for kind in (Radial, LogNormal, Bessel, Narrow, Wide, Shifted, Chebyshev, AxilrodTeller)
}


def function_from_dict(values: dict[str, Any]) -> SymmetryFunction:
    """The inverse of `SymmetryFunction.as_dict`."""
    values = dict(values)
    return KINDS[values.pop("kind")](**{**values, "neighbors": tuple(values["neighbors"])})
