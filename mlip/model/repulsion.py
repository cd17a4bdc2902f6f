"""Repulsion of atoms that come closer than any bond, added to what the networks give so that they never fuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mlip.batch import index_of_number
from mlip.descriptors.cutoffs import polynomial_cutoff
from mlip.elements import covalent_radius
from mlip.units import COULOMB

# The universal screening function: coefficients, decay in units of the screening length, and that length (Å).
COEFFICIENTS = (0.18175, 0.50986, 0.28022, 0.02817)
DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)
LENGTH, EXPONENT = 0.46850, 0.23


class ZBL(nn.Module):
    r"""Screened repulsion of the nuclei, switched off before the shortest bonds.

    .. math:: E_i = \tfrac12 \sum_j \frac{e^2}{4\pi\epsilon_0} \frac{Z_i Z_j}{r_{ij}}\,
              \phi\!\left(\frac{r_{ij}}{a}\right) S(r_{ij}), \qquad
              a = \frac{0.4685\,\text{Å}}{Z_i^{0.23} + Z_j^{0.23}}, \qquad \phi(x) = \sum_{k=1}^4 c_k e^{-d_k x}

    S is one up to `inner` and zero from `outer` on, both in units of the sum of the two covalent radii, with a
    polynomial of fifth degree between them: energy, force and curvature are continuous.

    Source: Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Solids (Pergamon, 1985); the digits are those
    of LAMMPS (pair_style zbl), where they add up to one.

    Raises:
        ValueError: not 0 <= inner < outer.
    """

    name = "zbl"

    def __init__(self, elements: Sequence[int], inner: float, outer: float) -> None:
        super().__init__()
        if not 0 <= inner < outer < float("inf"):
            raise ValueError(
                f"model.repulsion goes from inner {inner} to outer {outer}; expected 0 <= inner < outer, in units of "
                "the sum of two covalent radii"
            )
        self.elements, self.options = tuple(elements), {"inner": inner, "outer": outer}
        number = torch.tensor(self.elements, dtype=torch.float64)
        radius = torch.tensor([covalent_radius(z) for z in self.elements], dtype=torch.float64)
        index = index_of_number(self.elements)
        tables = {
            "index_of_number": index,
            "strength": COULOMB * number[:, None] * number,  # (E,E) eV Å
            "decay": (number[:, None] ** EXPONENT + number**EXPONENT) / LENGTH,  # (E,E) 1/Å
            "inner": inner * (radius[:, None] + radius),  # (E,E) Å
            "outer": outer * (radius[:, None] + radius),  # (E,E) Å
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)  # made of the constructor's values again
        self.index_of_number: Tensor
        self.strength: Tensor
        self.decay: Tensor
        self.inner: Tensor
        self.outer: Tensor

    @property
    def cutoff(self) -> float:
        """Largest distance at which any two of the elements repel each other (Å)."""
        return float(self.outer.max())

    def as_dict(self) -> dict[str, Any]:
        """Plain values that make the same repulsion again with `repulsion_from`."""
        return {"name": self.name, **self.options}

    @torch.no_grad()
    def forward(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> tuple[Float[Tensor, "N"], Float[Tensor, "P 3"]]:
        """Atomic energies (eV, float64), and the gradient of their sum by the pair vectors (eV/Å, float64)."""
        element = self.index_of_number[numbers]
        a, b = element[pairs]
        distances = vectors.double().norm(dim=1)
        near = (distances < self.outer[a, b]).nonzero().flatten()
        energy, slope = self._of_pairs(distances[near], a[near], b[near])
        energies = energy.new_zeros(len(numbers)).index_add(0, pairs[0, near], 0.5 * energy)
        gradient = torch.zeros_like(vectors, dtype=torch.float64)
        gradient[near] = (0.5 * slope / distances[near])[:, None] * vectors[near].double()
        return energies, gradient

    def _of_pairs(self, r: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Energy of each pair (eV) and its slope (eV/Å)."""
        phi, phi_by_r = torch.zeros_like(r), torch.zeros_like(r)
        for coefficient, decay in zip(COEFFICIENTS, DECAYS, strict=True):
            term = coefficient * torch.exp(-decay * self.decay[a, b] * r)
            phi += term
            phi_by_r -= decay * self.decay[a, b] * term
        width = self.outer[a, b] - self.inner[a, b]
        x = ((r - self.inner[a, b]) / width).clamp(min=0.0)
        switch, switch_by_r = polynomial_cutoff(x, 1.0), -30.0 * (x * (1.0 - x)) ** 2 / width
        coulomb = self.strength[a, b] / r
        bare, bare_by_r = coulomb * phi, coulomb * (phi_by_r - phi / r)
        return bare * switch, bare_by_r * switch + bare * switch_by_r


REPULSIONS = {ZBL.name: ZBL}


def repulsion_from(values: dict[str, Any] | None, elements: Sequence[int]) -> ZBL | None:
    """The inverse of `as_dict`; None from None."""
    if values is None:
        return None
    options = {name: value for name, value in values.items() if name != "name"}
    return REPULSIONS[values["name"]](elements, **options)
