"""Energy, forces and stress of one structure without autograd, for dynamics on a CPU; `evaluate` is its law."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.batch import AtomsBatch
from mlip.descriptors.compiled import compiled, in_threads, pair_table
from mlip.kernels import network as kernels
from mlip.kernels.activations import KINDS
from mlip.kernels.evaluation import Topology, add_forces, evaluate_blocks
from mlip.kernels.products import block_bounds
from mlip.kernels.ranges import Watch
from mlip.model.potential import Potential
from mlip.model.ranges import TOLERANCE, Outside
from mlip.model.weights import layout_of


class FusedResult(NamedTuple):
    """What dynamics needs of one structure, float64."""

    energy: float  # eV
    forces: Float[np.ndarray, "N 3"]  # eV/Å
    stress: Float[np.ndarray, "3 3"] | None  # eV/Å³, ASE's sign; None without a volume
    atomic_energies: Float[np.ndarray, "N"]  # eV
    virial: Float[np.ndarray, "3 3"]  # eV, dE/dstrain
    outside: Outside | None = None  # where the potential extrapolates, if asked for


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
        self.ranges = _range_tables(potential)
        self._searched: AtomsBatch | None = None  # the batch that these two are of
        self._topology: Any = None
        self._bounds: Any = None

    def __call__(self, batch: AtomsBatch) -> FusedResult:
        """Evaluate a batch of one structure.

        Raises:
            ValueError: an element that the potential does not know.
        """
        return self.at(batch, batch.positions.numpy(), batch.cell[0].numpy())

    def at(
        self,
        batch: AtomsBatch,
        positions: Float[np.ndarray, "N 3"],
        cell: Float[np.ndarray, "3 3"],
        *,
        outside: bool = False,
    ) -> FusedResult:
        """Evaluate the structure of a batch with its atoms and cell (zeros where not periodic) moved.

        With `outside` the features are compared with the ranges of the training set on the way.

        Raises:
            ValueError: an element that the potential does not know.
        """
        return self.evaluated(*self._topology_of(batch), positions, cell, outside=outside)

    def evaluated(
        self,
        topology: Topology,
        bounds: Int[np.ndarray, "B"],
        positions: Float[np.ndarray, "A 3"],
        cell: Float[np.ndarray, "3 3"],
        *,
        outside: bool = False,
    ) -> FusedResult:
        """Energies of N centers, and forces on all A atoms that may be their neighbors, in blocks of `topology`."""
        outputs, forces = np.empty(len(topology.element)), np.zeros(positions.shape)
        gradients = np.empty((len(topology.center), 3), self.networks.weights.dtype)
        virials = np.zeros((len(bounds) - 1, 3, 3))
        found = Outside.of(len(outputs) if outside else 0)
        watch = Watch(*self.ranges, TOLERANCE, *found)

        def evaluate(first: int, last: int) -> None:
            evaluate_blocks(
                bounds[first : last + 1],
                topology,
                positions,
                cell,
                self.features.functions,
                self.networks,
                self.repulsion,
                watch,
                outputs,
                gradients,
                virials[first:last],
            )

        in_threads(len(topology.center), len(bounds) - 1, evaluate)
        add_forces(topology.center, topology.neighbor, gradients, forces)
        volume = _volume(cell)
        atomic_energies = outputs + self.offsets[topology.element]
        virial = virials.sum(axis=0)
        virial = 0.5 * (virial + virial.T)
        return FusedResult(
            energy=float(atomic_energies.sum()),
            forces=forces,
            stress=virial / volume if volume > 0 else None,
            atomic_energies=atomic_energies,
            virial=virial,
            outside=found if outside else None,
        )

    def _topology_of(self, batch: AtomsBatch) -> tuple[Topology, np.ndarray]:
        """Pairs and blocks; made anew only when the batch has other tensors than the last, after a neighbor search."""
        old = self._searched
        if old is None or old.numbers is not batch.numbers or old.pairs is not batch.pairs:
            self._topology, self._bounds = self.topology(batch.numbers, batch.pairs.numpy(), batch.shifts.numpy())
            self._searched = batch
        return self._topology, self._bounds

    def topology(
        self,
        numbers: Int[Tensor, "A"],
        pairs: Int[np.ndarray, "2 P"],
        shifts: Float[np.ndarray, "P 3"],
        centers: int | None = None,
    ) -> tuple[Topology, Int[np.ndarray, "B"]]:
        """Pairs of all atoms, or of the first `centers` of them, and the blocks they are computed in.

        Raises:
            ValueError: an element that the potential does not know.
        """
        element = self.potential.element_of(numbers).numpy()
        center, neighbor = pairs
        table = pair_table(element, center, neighbor, centers)
        topology = Topology(table.start, table.element, center, neighbor, table.neighbor, shifts)
        return topology, block_bounds(table.start, self.features.angular_groups)


def _repulsion_tables(potential: Potential) -> np.ndarray:
    """What the kernel of the repulsion wants for each pair of elements (4,E,E); of no elements if there is none."""
    repulsion = potential.repulsion
    if repulsion is None:
        return np.empty((4, 0, 0))
    tables = repulsion.strength, repulsion.decay, repulsion.inner, repulsion.outer
    return np.stack([table.cpu().numpy() for table in tables])


def _range_tables(potential: Potential) -> tuple[np.ndarray, ...]:
    """Lowest and highest features, and one over the widths that distances from them are measured in."""
    ranges = potential.ranges
    tables = ranges.lowest, ranges.highest, 1.0 / ranges.widths
    return tuple(table.to(potential.dtype).cpu().numpy() for table in tables)


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
    activation = np.array([KINDS[name] for name in potential.networks.activation])
    networks = kernels.Networks(activation, widths, offset, np.concatenate(pieces).astype(dtype))
    nothing = np.zeros((elements, len(potential.descriptor.functions)), dtype)
    outputs = np.empty(elements)
    kernels.network_energies(networks, np.arange(elements), nothing, outputs, np.empty_like(nothing))
    references = potential.reference_energies.cpu().numpy()
    return networks, references - outputs if potential.anchored else references
