"""Energy, forces and stress of one structure without autograd, for dynamics on a CPU; `evaluate` is its law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from mlip.batch import AtomsBatch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.compiled import compiled, in_threads, pair_table
from mlip.kernels import network as kernels
from mlip.kernels.activations import kinds_of
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
    outside: Outside | None = None  # where the potential extrapolates, if asked for


class FusedPotential:
    """A potential as tables for the CPU kernels: neighbors' vectors, features, networks, forces in a few calls.

    Feature scaling is folded into the first layer, the energy scale into the last; an output that is not linear has it
    in a layer of its own. Features that are zero at every center of an element, because they are those of others, are
    neither kept nor read: the functions' columns are counted anew. Of a committee it is the mean, whose members share
    features and pair gradients. The weights are those at the time of construction, in the potential's dtype.
    """

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self.features = compiled(potential.descriptor)
        self.columns = columns_of_centers(potential.descriptor)
        place = np.empty(self.features.width, np.int64)
        for mine in self.columns:
            place[mine] = np.arange(len(mine))
        self.functions = self.features.functions._replace(columns=place[self.features.functions.columns])
        self.networks, self.offsets = _tables(potential, self.columns)
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
        topology, bounds = self._topology_of(batch)
        outputs, forces = np.empty(len(positions)), np.zeros(positions.shape)
        gradients = np.empty((len(topology.center), 3), self.networks.weights.dtype)
        virials = np.zeros((len(bounds) - 1, 3, 3))
        found = Outside.of(len(positions) if outside else 0)
        watch = Watch(*self.ranges, TOLERANCE, *found)

        def evaluate(first: int, last: int) -> None:
            evaluate_blocks(
                bounds[first : last + 1],
                topology,
                positions,
                cell,
                self.functions,
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
        return FusedResult(
            energy=float(atomic_energies.sum()),
            forces=forces,
            stress=0.5 * (virial + virial.T) / volume if volume > 0 else None,
            atomic_energies=atomic_energies,
            outside=found if outside else None,
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


def _range_tables(potential: Potential) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lowest and highest features, and one over the widths that distances from them are measured in."""
    ranges, dtype = potential.ranges, potential.dtype
    low, high, per_width = (
        table.to(dtype).cpu().numpy() for table in (ranges.lowest, ranges.highest, 1.0 / ranges.widths)
    )
    return low, high, per_width


def _volume(cell: np.ndarray) -> float:
    """Volume of the cell (Å³), 0 without one; numpy's determinant takes longer than a kernel."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = cell.tolist()
    return abs(ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx))


def columns_of_centers(descriptor: ACSF) -> list[Int[np.ndarray, "_"]]:
    """Columns of the features that can be other than zero at centers of each element: those of any center, its own."""
    centers = [function.center for function in descriptor.functions]
    return [
        np.array(
            [column for wanted in (None, z) for column, center in enumerate(centers) if center == wanted], np.int64
        )
        for z in descriptor.elements
    ]


def _tables(potential: Potential, columns: Sequence[np.ndarray]) -> tuple[kernels.Networks, np.ndarray]:
    """Weights of all networks in one array, and what is added to each element's outputs (eV)."""
    dtype = np.float32 if potential.dtype == torch.float32 else np.float64
    elements = len(potential.elements)
    made = [_layers(potential, network, columns[network % elements]) for network in range(elements * potential.members)]
    widths, offset = (table.numpy() for table in layout_of([[matrix.shape for matrix, _ in one] for one in made]))
    weights = np.concatenate([part.ravel() for layers in made for layer in layers for part in layer]).astype(dtype)
    networks = kernels.Networks(kinds_of(potential.networks.activation), widths, offset, weights)
    nothing = np.zeros((elements, max(map(len, columns))), dtype)
    outputs = np.empty(elements)
    kernels.network_energies(networks, np.arange(elements), nothing, outputs, np.empty_like(nothing))
    references = potential.reference_energies.cpu().numpy()
    return networks, references - outputs if potential.anchored else references


def _layers(potential: Potential, network: int, columns: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Matrix and bias of each layer, from these columns of the features to the energy (eV)."""
    e = network % len(potential.elements)
    scale, shift = potential.scaling.scale[e].cpu().numpy(), potential.scaling.shift[e].cpu().numpy()
    energy_scale = potential.energy_scale / potential.members
    layers = [
        (layer.weight.detach().double().cpu().numpy(), layer.bias.detach().double().cpu().numpy())
        for layer in potential.networks.linear(network)
    ]
    matrix = layers[0][0] / scale
    layers[0] = matrix[:, columns], layers[0][1] - matrix @ shift
    if potential.networks.activation[e][-1] != "linear":
        return [*layers, (np.array([[energy_scale]]), np.zeros(1))]
    layers[-1] = energy_scale * layers[-1][0], energy_scale * layers[-1][1]
    return layers
