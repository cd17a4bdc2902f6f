"""A classical pair potential: a curve for each pair of elements, smooth at the cutoff, repulsive inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mlip.batch import index_of_number
from mlip.descriptors.cutoffs import polynomial_cutoff
from mlip.elements import symbol
from mlip.pair.forms import FORMS


class PairPotential(nn.Module):
    r"""Half of each pair's curve to each of its atoms.

    .. math:: E_i = \tfrac12 \sum_j S(r_{ij})\, V(r_{ij}), \qquad
              V(r) = V(r_c) + \frac{g}{k}\left[e^{k (r_c - r)} - 1\right] \quad (r < r_c)

    V is the curve of the form (`mlip.pair.forms`) for the pair of elements. S is one up to `inner` and zero from
    `cutoff` on, with a polynomial of fifth degree between them. Inside the core radius :math:`r_c`, if a form has one,
    an exponential goes on with the same energy, slope :math:`-g < 0` and curvature :math:`g k > 0`, so that the curve
    rises all the way in. Energy, force and curvature are continuous everywhere.

    Args:
        elements: atomic numbers, ascending.
        form: a name in `FORMS`.
        cutoff: where all curves end (Å).
        inner: from where they are led to zero (Å).
        rows: the form's numbers for each pair of elements, in the order of `pairs_of(elements)`.

    Raises:
        ValueError: not 0 <= inner < cutoff, an unknown form, or numbers that make no curve that repels.
    """

    def __init__(
        self, elements: Sequence[int], form: str, cutoff: float, inner: float, rows: Sequence[Sequence[float]]
    ) -> None:
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"the form of a pair potential is '{form}'; known: {', '.join(FORMS)}")
        if not 0 <= inner < cutoff < float("inf"):
            raise ValueError(
                f"a pair potential is led to zero from inner {inner} to cutoff {cutoff} Å; expected 0 <= inner < cutoff"
            )
        self.elements, self.form, self.cutoff, self.inner = tuple(elements), FORMS[form], float(cutoff), float(inner)
        kinds = pairs_of(self.elements)
        if len(rows) != len(kinds):
            raise ValueError(f"{len(rows)} rows of parameters for {len(kinds)} pairs of elements; expected one each")
        for pair, row in zip(kinds, rows, strict=True):
            try:
                self.form.require_sense(row)
            except ValueError as error:
                raise ValueError(f"{pair_name(pair)}: {error}") from error
        table = torch.tensor([list(map(float, row)) for row in rows], dtype=torch.float64)
        index = index_of_number(self.elements)
        radius, decay = self.form.core(table)
        energy, slope = self.form.curve(radius.clamp(min=1e-3), table, torch.arange(len(table)))
        tables = {
            "index_of_number": index,
            "kind": kind_table(len(self.elements)),  # (E,E) row of each pair of elements
            "table": table,  # (T,K) the form's numbers
            "cores": torch.stack([radius, decay, energy, -slope], dim=1),  # (T,4) Å, 1/Å, eV, eV/Å
        }
        for name, values in tables.items():
            self.register_buffer(name, values, persistent=False)  # made of the constructor's values again
        self.index_of_number: Tensor
        self.kind: Tensor
        self.table: Tensor
        self.cores: Tensor

    def as_dict(self) -> dict[str, Any]:
        """Plain values that make the same potential again with `pair_potential_from`."""
        return {"form": self.form.name, "cutoff": self.cutoff, "inner": self.inner, "rows": self.table.tolist()}

    def parameters_by_pair(self) -> dict[str, dict[str, float]]:
        """The parameters of each pair of elements by name, in the units of `form.units`; none for splines."""
        return {
            pair_name(pair): dict(zip(self.form.units, row, strict=False))
            for pair, row in zip(pairs_of(self.elements), self.table.tolist(), strict=True)
        }

    def minima(self, step: float) -> dict[str, tuple[float, float]]:
        """Distance (Å) and energy (eV) of the deepest point of each pair's curve, looked for in such steps (Å)."""
        r = torch.arange(step, self.cutoff, step, dtype=torch.float64, device=self.table.device)
        found = {}
        for kind, pair in enumerate(pairs_of(self.elements)):
            energy = self.curve(r, torch.full_like(r, kind, dtype=torch.int64))[0]
            place = int(energy.argmin())
            found[pair_name(pair)] = float(r[place]), float(energy[place])
        return found

    @torch.no_grad()
    def forward(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> tuple[Float[Tensor, "N"], Float[Tensor, "P 3"]]:
        """Atomic energies (eV, float64), and the gradient of their sum by the pair vectors (eV/Å, float64)."""
        element = self.index_of_number[numbers]
        distances = vectors.double().norm(dim=1)
        near = (distances < self.cutoff).nonzero().flatten()
        a, b = element[pairs[:, near]]
        r = distances[near]
        energy, slope = self.curve(r, self.kind[a, b])
        energies = energy.new_zeros(len(numbers)).index_add(0, pairs[0, near], 0.5 * energy)
        gradient = torch.zeros_like(vectors, dtype=torch.float64)
        gradient[near] = (0.5 * slope / r)[:, None] * vectors[near].double()
        return energies, gradient

    def curve(self, r: Float[Tensor, "P"], kind: Int[Tensor, "P"]) -> tuple[Float[Tensor, "P"], Float[Tensor, "P"]]:
        """Energy (eV) and slope (eV/Å) of whole pairs of these kinds at these distances (Å), zero from the cutoff."""
        radius, decay, at_core, fall = self.cores[kind].unbind(dim=1)
        outside = self.form.curve(torch.maximum(r, radius), self.table, kind)
        rise = torch.exp(decay * (radius - r).clamp(min=0.0))
        inside = r < radius
        energy = torch.where(inside, at_core + fall / decay * (rise - 1), outside[0])
        slope = torch.where(inside, -fall * rise, outside[1])
        return switched(r, energy, slope, self.inner, self.cutoff)


def switched(r: Tensor, energy: Tensor, slope: Tensor, inner: float, cutoff: float) -> tuple[Tensor, Tensor]:
    """Energies (...,P) and slopes (...,P) at distances r (P,) times the switch from `inner` to `cutoff`."""
    x = ((r - inner) / (cutoff - inner)).clamp(min=0.0, max=1.0)
    switch, switch_by_r = polynomial_cutoff(r, cutoff, inner), -30.0 * (x * (1.0 - x)) ** 2 / (cutoff - inner)
    return energy * switch, slope * switch + energy * switch_by_r


def pairs_of(elements: Sequence[int]) -> list[tuple[int, int]]:
    """Every pair of elements once, in the order of rows of parameters."""
    return list(combinations_with_replacement(elements, 2))


def pair_name(pair: tuple[int, int]) -> str:
    """The two symbols in the order of atomic numbers, such as Al-Cu."""
    return "-".join(symbol(number) for number in sorted(pair))


def kind_table(elements: int) -> Int[Tensor, "E E"]:
    """The row of each pair of elements in `pairs_of`."""
    table = torch.zeros(elements, elements, dtype=torch.int64)
    for row, (a, b) in enumerate(combinations_with_replacement(range(elements), 2)):
        table[a, b] = table[b, a] = row
    return table


def pair_potential_from(values: Mapping[str, Any] | None, elements: Sequence[int]) -> PairPotential | None:
    """The inverse of `as_dict`; None from None."""
    return None if values is None else PairPotential(elements, **values)
