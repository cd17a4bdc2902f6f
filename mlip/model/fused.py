"""Energy, forces and stress of one structure without autograd, for dynamics on a CPU; `evaluate` is its law."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from mlip.batch import AtomsBatch
from mlip.descriptors.compiled import compiled, in_threads, pair_table
from mlip.kernels import network as kernels
from mlip.kernels.activations import KINDS
from mlip.kernels.evaluation import Topology, add_forces, evaluate_blocks
from mlip.kernels.products import block_bounds
from mlip.model.networks import short_activation
from mlip.model.potential import Potential
from mlip.model.weights import layout_of


class FusedResult(NamedTuple):
    """What dynamics needs of one structure, float64."""

    energy: float  # eV
    forces: Float[np.ndarray, "N 3"]  # eV/Å
    stress: Float[np.ndarray, "3 3"] | None  # eV/Å³, ASE's sign; None without a volume
    atomic_energies: Float[np.ndarray, "N"]  # eV


class FusedPotential:
    """A potential as tables for the CPU kernels: neighbors' vectors, features, networks, forces in a few calls.

    Feature scaling is folded into the first layer, the energy scale into the last. Of a committee it is the mean, whose
    members share features and pair gradients. The weights are those at the time of construction, in the potential's
    dtype.
    """

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self.features = compiled(potential.descriptor)
        self.networks, self.offsets = _tables(potential)
        self.repulsion = _repulsion_tables(potential)
        self._searched: AtomsBatch | None = None  # the batch that these two are of
        self._topology: Any = None
        self._bounds: Any = None

    def __call__(self, batch: AtomsBatch) -> FusedResult:
        """Evaluate a batch of one structure.

        Raises:
            ValueError: an element that the potential does not know.
        """
        return self.at(batch, batch.positions.numpy(), batch.cell[0].numpy())

    def at(self, batch: AtomsBatch, positions: Float[np.ndarray, "N 3"], cell: Float[np.ndarray, "3 3"]) -> FusedResult:
        """Evaluate the structure of a batch with its atoms and cell (zeros where not periodic) moved.

        Raises:
            ValueError: an element that the potential does not know.
        """
        topology, bounds = self._topology_of(batch)
        outputs, forces = np.empty(len(positions)), np.zeros(positions.shape)
        gradients = np.empty((len(topology.center), 3), self.networks.weights.dtype)
        virials = np.zeros((len(bounds) - 1, 3, 3))

        def evaluate(first: int, last: int) -> None:
            evaluate_blocks(
                bounds[first : last + 1],
                topology,
                positions,
                cell,
                self.features.functions,
                self.networks,
                self.repulsion,
                outputs,
                gradients,
                virials[first:last],
            )

        in_threads(len(topology.center), len(bounds) - 1, evaluate)
        add_forces(topology.center, topology.neighbor, gradients, forces)
        volume = _volume(cell)
        atomic_energies = outputs + self.offsets[topology.element]
        virial = virials.sum(axis=0)
        return FusedResult(
            energy=float(atomic_energies.sum()),
            forces=forces,
            stress=0.5 * (virial + virial.T) / volume if volume > 0 else None,
            atomic_energies=atomic_energies,
        )

    def _topology_of(self, batch: AtomsBatch) -> tuple[Topology, np.ndarray]:
        """Pairs and blocks; made anew only when the batch has other tensors than the last, after a neighbor search."""
        old = self._searched
        if old is None or old.numbers is not batch.numbers or old.pairs is not batch.pairs:
            element = self.potential.element_of(batch.numbers).numpy()
            center, neighbor = batch.pairs.numpy()
            table = pair_table(element, center, neighbor)
            self._topology = Topology(table.start, element, center, neighbor, table.neighbor, batch.shifts.numpy())
            self._bounds = block_bounds(table.start, self.features.angular_groups)
            self._searched = batch
        return self._topology, self._bounds


def _repulsion_tables(potential: Potential) -> np.ndarray:
    """What the kernel of the repulsion wants for each pair of elements (4,E,E); of no elements if there is none."""
    repulsion = potential.repulsion
    if repulsion is None:
        return np.empty((4, 0, 0))
    tables = repulsion.strength, repulsion.decay, repulsion.inner, repulsion.outer
    return np.stack([table.cpu().numpy() for table in tables])


def _volume(cell: np.ndarray) -> float:
    """Volume of the cell (Å³), 0 without one; numpy's determinant takes longer than a kernel."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = cell.tolist()
    return abs(ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx))


def _tables(potential: Potential) -> tuple[kernels.Networks, np.ndarray]:
    """Weights of all networks in one array, and what is added to each element's outputs (eV)."""
    scale, shift = potential.scaling.scale.cpu().numpy(), potential.scaling.shift.cpu().numpy()
    dtype = np.float32 if potential.dtype == torch.float32 else np.float64
    elements = len(potential.elements)
    widths, offset = (table.numpy() for table in layout_of(potential.networks))
    pieces: list[np.ndarray] = []
    energy_scale = potential.energy_scale / potential.members
    for network in range(len(widths)):
        e, layers = network % elements, potential.networks.linear(network)
        for n, layer in enumerate(layers):
            matrix = layer.weight.detach().double().cpu().numpy()
            bias = layer.bias.detach().double().cpu().numpy()
            if n == 0:
                matrix = matrix / scale[e]
                bias = bias - matrix @ shift[e]
            if n == len(layers) - 1:
                matrix, bias = energy_scale * matrix, energy_scale * bias
            pieces += [matrix.ravel(), bias]
    activation = np.array([KINDS[str(short_activation(names))] for names in potential.networks.activation])
    networks = kernels.Networks(activation, widths, offset, np.concatenate(pieces).astype(dtype))
    nothing = np.zeros((elements, len(potential.descriptor.functions)), dtype)
    outputs = np.empty(elements)
    kernels.network_energies(networks, np.arange(elements), nothing, outputs, np.empty_like(nothing))
    references = potential.reference_energies.cpu().numpy()
    return networks, references - outputs if potential.anchored else references
