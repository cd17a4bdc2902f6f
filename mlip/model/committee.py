"""Committees: the spread of their members, and the way from several potentials to one and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import reduce
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mlip.batch import AtomsBatch, pair_vectors, sum_per_structure
from mlip.descriptors.backends import Featurizer, fastest
from mlip.model.density import FeatureDensity
from mlip.model.derivatives import forces_of
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Calibration, Potential
from mlip.model.potential_pass import PotentialPass
from mlip.model.ranges import FeatureRanges


class Spread(NamedTuple):
    """Standard deviations over the members of a committee, times its calibration."""

    energy: Float[Tensor, "S"]  # eV, float64, of the total energy
    forces: Float[Tensor, "N 3"]  # eV/Å, of each component
    atomic_energies: Float[Tensor, "N"]  # eV, float64

    def to(self, device: torch.device) -> Spread:
        """The same on another device."""
        return Spread(*(field.to(device) for field in self))


@torch.no_grad()
def spread(potential: Potential, batch: AtomsBatch, *, features: Featurizer | None = None) -> Spread:
    r"""Standard deviations of what `evaluate` gives the mean of.

    .. math:: \sigma_y = \alpha_y \sqrt{\frac{1}{K-1} \sum_{m=1}^K (y_m - \bar y)^2}, \qquad
              \mathbf F_m - \bar{\mathbf F} = \text{forces of } J^T (\mathbf g_m - \bar{\mathbf g})

    with the K members, the feature gradients g of each, and the factors :math:`\alpha` of the calibration. Deviations
    add up to zero, so that of the last member needs no product with the Jacobian J. The length of an atom's three force
    components does not depend on how the structure is turned; each component does.

    Raises:
        ValueError: the potential is no committee.
    """
    atomic_energies, deviations = deviations_of(potential, batch, features=features)
    squares = torch.zeros((), dtype=potential.dtype, device=potential.device)
    for deviation in deviations:
        squares = squares + deviation.square()
    energies = torch.stack([sum_per_structure(energies, batch) for energies in atomic_energies])
    factors = potential.calibration
    return Spread(
        factors.energy * energies.std(dim=0),
        factors.forces * (squares / (potential.members - 1)).sqrt(),
        factors.energy * atomic_energies.std(dim=0),
    )


def deviations_of(
    potential: Potential, batch: AtomsBatch, *, features: Featurizer | None = None
) -> tuple[Float[Tensor, "K N"], Iterator[Float[Tensor, "N 3"]]]:
    """Atomic energies (eV) of each member, and one after the other what its forces (eV/Å) differ from the mean by.

    Raises:
        ValueError: the potential is no committee.
    """
    if potential.members == 1:
        raise ValueError("the potential has one member, which has no spread. Train with model.committee.members=4")
    vectors = pair_vectors(batch).to(potential.dtype)
    featurizer = features or fastest(potential.descriptor, vectors.device)
    products = featurizer.products(batch.numbers, batch.pairs, vectors)
    model = PotentialPass(potential, products.features, batch.numbers)
    mean = model.mean()[1]

    def deviations() -> Iterator[Tensor]:
        last = torch.zeros(len(batch.numbers), 3, dtype=vectors.dtype, device=vectors.device)
        for gradients in model.gradients[:-1]:
            deviation = forces_of(batch, products.pair_gradients(gradients - mean))
            last -= deviation
            yield deviation
        yield last

    return model.energies, deviations()


def member_of(potential: Potential, member: int) -> Potential:
    """One member of a committee as a potential of its own, which shares all weights with it."""
    if not 0 <= member < potential.members:
        raise ValueError(f"member is {member}; expected 0 to {potential.members - 1}")
    return members_of(potential, member, member + 1)


def members_of(potential: Potential, first: int, last: int) -> Potential:
    """Members `first` up to, not including, `last` as a committee of their own, which shares all weights with it."""
    elements = len(potential.networks.hidden)
    networks = list(potential.networks.networks)[first * elements : last * elements]
    return _with_networks(potential, networks, last - first)


def committee_of(potentials: Sequence[Potential]) -> Potential:
    """Potentials as one committee, which shares its weights with them; members of committees become members of it.

    Its ranges of features are those of all training sets together; it knows their density if they are the same.

    Raises:
        ValueError: they differ in more than their weights.
    """
    first = potentials[0]
    for other in potentials[1:]:
        for name in ("elements", "functions", "widths", "activation", "energy_scale", "anchored", "dtype", "repulsion"):
            if _facts(first)[name] != _facts(other)[name]:
                raise ValueError(
                    f"potentials with different {name} cannot be members of one committee. "
                    "Train them from one config with different run.seed and the same data.split.seed"
                )
        for name, tensor in first.state_dict().items():
            if not name.startswith("atomic.") and not torch.equal(tensor, other.state_dict()[name]):
                raise ValueError(
                    f"potentials with different {name} cannot be members of one committee. "
                    "Train them on the same structures"
                )
    networks = [network for potential in potentials for network in potential.networks.networks]
    made = _with_networks(first, networks, sum(potential.members for potential in potentials))
    made.ranges = reduce(FeatureRanges.with_those_of, (potential.ranges for potential in potentials))
    made.density = first.density if all(_same(first.density, other.density) for other in potentials[1:]) else None
    return made


def _same(one: FeatureDensity | None, other: FeatureDensity | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(torch.equal(table, other.tables()[name]) for name, table in one.tables().items())


def _facts(potential: Potential) -> dict[str, object]:
    return {
        "elements": potential.elements,
        "functions": potential.descriptor.functions,
        "widths": potential.networks.hidden,
        "activation": potential.networks.activation,
        "energy_scale": potential.energy_scale,
        "anchored": potential.anchored,
        "dtype": potential.dtype,
        "repulsion": potential.repulsion and potential.repulsion.as_dict(),
    }


def _with_networks(like: Potential, networks: Sequence[nn.Module], members: int) -> Potential:
    """The same potential with other networks, not calibrated."""
    made = AtomicNetworks(len(like.descriptor.functions), like.networks.hidden, like.networks.activation)
    made.members, made.networks = members, nn.ModuleList(networks)
    changed = copy(like)
    changed._modules = dict(like._modules)  # a copy of a module shares this with it
    changed.atomic, changed.calibration = made, Calibration()
    return changed
