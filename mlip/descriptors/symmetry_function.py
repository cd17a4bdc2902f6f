"""What every symmetry function has: the elements it counts, its cutoff, its numbers and its formula.

A formula is a term of one pair or of one triple (center i, neighbors j and k, each unordered pair j, k once). The
symmetry function is the sum of the terms over the pairs or triples whose neighbors have the given elements, or over all
of them with weights that depend on the elements: `descriptors/acsf.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor

from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS, WITHOUT_INNER_CUTOFF, CutoffFunction
from mlip.elements import symbol


class Triples(NamedTuple):
    """Geometry of T triples as columns, so that F functions broadcast along the second axis."""

    r_ij: Float[Tensor, "T 1"]  # Å
    r_ik: Float[Tensor, "T 1"]  # Å
    r_jk: Float[Tensor, "T 1"]  # Å
    cos_theta: Float[Tensor, "T 1"]  # cosine of the angle j-i-k


@dataclass(frozen=True, kw_only=True)
class SymmetryFunction:
    r"""What every symmetry function has; `terms` of a subclass is its formula for one pair or triple.

    It counts neighbors of the elements it names, or, with `weights`, those of all elements that have one:

    .. math:: G_i = \sum_j w(Z_j)\, g(\mathbf r_{ij}) \quad \text{or} \quad
              \sum_{j<k} w(Z_j)\, w(Z_k)\, g(\mathbf r_{ij}, \mathbf r_{ik})

    so that the number of functions does not grow with that of the elements. Source of the weights: Gastegger et al.,
    J. Chem. Phys. 148, 241709 (2018), section II B, where w(Z) = Z.

    Raises:
        ValueError: a parameter is outside its range; the message names it.
    """

    neighbors: tuple[int, ...] = ()  # atomic numbers, ascending; none where there are weights
    cutoff: float  # Å
    cutoff_function: str = "cosine"
    inner_cutoff: float = 0.0  # Å, up to which the cutoff function is 1
    center: int | None = None  # atomic number of the center, None for any
    weights: tuple[tuple[int, float], ...] = ()  # atomic number and weight of each element that counts

    kind: ClassVar[str]  # its name in a config and in a saved potential
    order: ClassVar[int]  # number of neighbors in a term
    parameters: ClassVar[tuple[str, ...]]  # names of the numbers the formula takes

    def __post_init__(self) -> None:
        object.__setattr__(self, "neighbors", tuple(sorted(self.neighbors)))
        object.__setattr__(self, "weights", tuple(sorted((z, float(weight)) for z, weight in self.weights)))
        if self.weights and self.neighbors:
            raise ValueError(f"{type(self).__name__}: neighbors are {self.neighbors}, and there are weights; give one")
        if not self.weights and len(self.neighbors) != self.order:
            raise ValueError(f"{type(self).__name__}: neighbors are {self.neighbors}; expected {self.order} elements")
        for z, weight in self.weights:
            if not (math.isfinite(weight) and weight != 0):
                raise ValueError(f"the weight of {symbol(z)} is {weight}; it must be a finite number and not zero")
        if len(dict(self.weights)) < len(self.weights):
            raise ValueError(f"weights are {self.weights}; each element may have one")
        if not (math.isfinite(self.cutoff) and self.cutoff > 0):
            raise ValueError(f"cutoff is {self.cutoff} Å; it must be a positive, finite length")
        if self.cutoff_function not in CUTOFF_FUNCTIONS:
            raise ValueError(f"cutoff_function is '{self.cutoff_function}'; known: {', '.join(CUTOFF_FUNCTIONS)}")
        if not 0 <= self.inner_cutoff < self.cutoff:
            raise ValueError(
                f"inner_cutoff is {self.inner_cutoff} Å; expected from 0 to less than the cutoff of {self.cutoff} Å"
            )
        if self.inner_cutoff > 0 and self.cutoff_function in WITHOUT_INNER_CUTOFF:
            raise ValueError(
                f"inner_cutoff is {self.inner_cutoff} Å, which changes nothing in the cutoff function "
                f"'{self.cutoff_function}'. Leave it at 0, or take another of "
                f"{', '.join(name for name in CUTOFF_FUNCTIONS if name not in WITHOUT_INNER_CUTOFF)}"
            )
        for name in self.parameters:
            value = getattr(self, name)
            if not math.isfinite(value):
                raise ValueError(f"{name} is {value}; it must be a finite number")
            if name in ("eta", "power", "n") and value < 0:
                unit = " Å⁻²" if name == "eta" else ""
                raise ValueError(f"{name} is {value}{unit}; it must not be negative")
            if name == "zeta" and value < 1:
                raise ValueError(f"zeta is {value}; at least 1 is needed for smooth forces")

    @staticmethod
    def terms(
        geometry: Float[Tensor, "M 1"] | Triples, fc: CutoffFunction, cutoff: float, values: Float[Tensor, "K F"]
    ) -> Float[Tensor, "M F"]:
        """The formula for M pairs (their distances) or triples; K rows of `values` hold the numbers of F functions."""
        raise NotImplementedError

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers of the neighbors that count."""
        return frozenset(self.neighbors) | frozenset(dict(self.weights))

    @property
    def values(self) -> tuple[float, ...]:
        """The numbers the formula takes, in the order of `parameters`."""
        return tuple(float(getattr(self, name)) for name in self.parameters)

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {getattr(self, name):.4g}" for name in self.parameters)
        center = "any" if self.center is None else symbol(self.center)
        neighbors = "-".join(symbol(number) for number in self.neighbors)
        if self.weights:
            neighbors = " + ".join(f"{weight:.3g} {symbol(number)}" for number, weight in self.weights)
        inner = f", inner cutoff {self.inner_cutoff:g}" if self.inner_cutoff else ""
        return f"{self.kind} around {center} of {neighbors}: {numbers}, cutoff {self.cutoff:g}{inner}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values that make the same function again with `function_from_dict`."""
        return {"kind": self.kind, **{f.name: getattr(self, f.name) for f in fields(self)}}
