"""A potential: from features to atomic energies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mlip.descriptors.acsf import ACSF
from mlip.elements import symbols
from mlip.model.atomic import AtomicModel
from mlip.model.density import FeatureDensity
from mlip.model.networks import AtomicNetworks
from mlip.model.ranges import FeatureRanges, unknown_ranges
from mlip.model.repulsion import ZBL
from mlip.model.scaling import FeatureScaling
from mlip.pair.potential import PairPotential


class Calibration(NamedTuple):
    """Factors that turn standard deviations over a committee's members into errors to expect."""

    energy: float = 1.0  # of total and atomic energies
    forces: float = 1.0


class Potential(nn.Module):
    r"""Atomic energies from features; the total energy is their sum, taken in float64.

    .. math:: E_i = s\,\left[f_e(\tilde G_i) - a\, f_e(\tilde 0)\right] + \varepsilon_e,
              \qquad e = \text{element of atom } i

    with the element's network :math:`f_e` (or what else `atomic` is), scaled features :math:`\tilde G`, the energy
    scale s (eV), and the reference energy :math:`\varepsilon_e` (eV). `anchored` (a = 1) makes an isolated atom, whose
    features are all zero, have exactly its reference energy; else (a = 0) the reference energies only carry the bulk of
    the total energy. A committee has several networks for each element, and its energies are their mean; `calibration`
    is what the standard deviations over its members are multiplied with.
    `repulsion` and the fitted `baseline`, if there are any, are functions of pairs that `evaluate` adds to these
    energies. `ranges` are those of
    the training set's features, unknown unless given; they tell where the potential extrapolates, as does their
    `density`, if there is one.

    Source: Behler, Parrinello, Phys. Rev. Lett. 98, 146401 (2007), eq. 1.

    Raises:
        ValueError: `reference_energies` has not one number for each element, a function of pairs is for other elements
            or reaches beyond the descriptor's cutoff, or the ranges or the density are for other elements or functions.
    """

    def __init__(
        self,
        descriptor: ACSF,
        scaling: FeatureScaling,
        atomic: AtomicModel,
        reference_energies: Sequence[float],
        *,
        energy_scale: float = 1.0,
        anchored: bool = False,
        calibration: Calibration | None = None,
        repulsion: ZBL | None = None,
        baseline: PairPotential | None = None,
        ranges: FeatureRanges | None = None,
        density: FeatureDensity | None = None,
    ) -> None:
        super().__init__()
        if len(reference_energies) != len(descriptor.elements):
            raise ValueError(
                f"{len(reference_energies)} reference energies for the {len(descriptor.elements)} elements "
                f"{symbols(descriptor.elements)}; expected one each"
            )
        for term, key in ((repulsion, "repulsion"), (baseline, "baseline")):
            if term is not None:
                require_within(term, descriptor, key)
        self.descriptor = descriptor
        if ranges is not None and ranges.lowest.shape != scaling.shift.shape:
            raise ValueError(
                f"the ranges are a table of {tuple(ranges.lowest.shape)}; expected {tuple(scaling.shift.shape)}, "
                "a row for each element and a column for each function"
            )
        if density is not None and density.mean.shape != scaling.shift.shape:
            raise ValueError(
                f"the density is of a table of {tuple(density.mean.shape)}; expected {tuple(scaling.shift.shape)}, "
                "a row for each element and a column for each function"
            )
        self.scaling = scaling
        self.ranges = ranges or unknown_ranges(*scaling.shift.shape)
        self.density = density
        self.atomic = atomic
        self.energy_scale = energy_scale
        self.anchored = anchored
        self.calibration = calibration or Calibration()
        self.repulsion = repulsion
        self.baseline = baseline
        self.register_buffer("reference_energies", torch.tensor(reference_energies, dtype=torch.float64))
        self.reference_energies: Tensor

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers the potential knows, ascending."""
        return self.descriptor.elements

    @property
    def networks(self) -> AtomicNetworks:
        """The networks that make the atomic energies.

        Raises:
            ValueError: something else does.
        """
        if not isinstance(self.atomic, AtomicNetworks):
            raise ValueError(
                "the potential has no networks (its model.kind is gpr or pair), which this needs. Train one with "
                "model.kind=network"
            )
        return self.atomic

    @property
    def pair_terms(self) -> tuple[ZBL | PairPotential, ...]:
        """The functions of pairs that are added to the atomic energies."""
        return tuple(term for term in (self.repulsion, self.baseline) if term is not None)

    @property
    def members(self) -> int:
        """How many potentials the committee has; 1 if it is none."""
        return self.atomic.members

    @property
    def deviates(self) -> bool:
        """Whether its predictions have standard deviations: over a committee's members, or of a Gaussian process."""
        return self.members > 1 or self.atomic.deviates

    def deviates_for(self, atoms: int) -> bool:
        """Whether there are standard deviations for a structure of so many atoms."""
        return self.members > 1 or (self.atomic.deviates and atoms <= self.atomic.most_deviating)

    @property
    def cutoff(self) -> float:
        """Distance beyond which atoms do not see each other (Å)."""
        return self.descriptor.cutoff

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the features and what is made of them; total energies are always summed in float64."""
        return self.atomic.dtype

    @property
    def device(self) -> torch.device:
        """Where the potential lives."""
        return self.reference_energies.device

    def forward(self, features: Float[Tensor, "N D"], numbers: Int[Tensor, "N"]) -> Float[Tensor, "N"]:
        """Atomic energies (eV, float64) of atoms with these features.

        Raises:
            ValueError: an element that the potential does not know; the message names it.
        """
        return self.by_member(features, numbers).mean(dim=0)

    def by_member(self, features: Float[Tensor, "N D"], numbers: Int[Tensor, "N"]) -> Float[Tensor, "K N"]:
        """The same of each member of the committee."""
        element = self.element_of(numbers)
        outputs = self.atomic(self.scaling(features, element), element).double()
        if self.anchored:
            outputs = outputs - self._isolated(features)[:, element]
        return self.energy_scale * outputs + self.reference_energies[element]

    def element_of(self, numbers: Int[Tensor, "N"]) -> Int[Tensor, "N"]:
        """Index of each atom's element among `elements`."""
        element = self.descriptor.index_of_number[numbers]
        if (element < 0).any():
            strangers = sorted(set(numbers[element < 0].tolist()))
            raise ValueError(
                f"the potential does not know {symbols(strangers)}; it was trained for {symbols(self.elements)}. "
                "Train it on data with these elements"
            )
        return element

    def isolated_energies(self) -> Float[Tensor, "E"]:
        """Energy of a lone atom of each element (eV, float64)."""
        if self.anchored:
            return self.reference_energies
        probe = torch.zeros((), dtype=self.dtype, device=self.device)
        return self.energy_scale * self._isolated(probe).mean(dim=0) + self.reference_energies

    def _isolated(self, like: Tensor) -> Float[Tensor, "K E"]:
        element = torch.arange(len(self.elements), device=like.device)
        nothing = torch.zeros(len(element), len(self.descriptor.functions), dtype=like.dtype, device=like.device)
        return self.atomic(self.scaling(nothing, element), element).double()


def require_within(term: ZBL | PairPotential, descriptor: ACSF, key: str) -> None:
    """See that the descriptor's pairs are all that a function of pairs needs; `key` is its section of the model.

    Raises:
        ValueError: they are not.
    """
    if term.elements != descriptor.elements:
        raise ValueError(
            f"the {key} is for {symbols(term.elements)}, the descriptor for {symbols(descriptor.elements)}; "
            "expected the same elements"
        )
    if term.cutoff > descriptor.cutoff:
        end = "outer" if key == "repulsion" else "cutoff"
        raise ValueError(
            f"model.{key} reaches to {term.cutoff:.2f} Å, beyond the descriptor's cutoff of {descriptor.cutoff} Å. "
            f"Lower model.{key}.{end}, raise a cutoff in model.descriptor, or set model.{key}=null"
        )
