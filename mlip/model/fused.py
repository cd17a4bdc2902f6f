"""Energy, forces and stress of one structure without autograd, for dynamics on a CPU; `evaluate` is its law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.batch import AtomsBatch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.compiled import compiled, in_threads, pair_table
from mlip.kernels import network as kernels
from mlip.kernels.activations import kinds_of
from mlip.kernels.curves import FORMS, NONE, PairTerms
from mlip.kernels.evaluation import Topology, add_forces, evaluate_blocks, evaluate_pair_terms
from mlip.kernels.products import block_bounds
from mlip.kernels.ranges import Watch
from mlip.model.atomic import NoModel
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

    Feature scaling is folded into the first layer, the energy scale into the last; an output that is not linear has it
    in a layer of its own. Features that are zero at every center of an element, because they are those of others, are
    neither kept nor read: the functions' columns are counted anew. Of a committee it is the mean, whose members share
    features and pair gradients. The weights are those at the time of construction, in the potential's dtype.
    """

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self.pair_terms = _pair_terms(potential)
        self.offsets = potential.reference_energies.cpu().numpy()
        self.networks: kernels.Networks | None = None
        self.angular_groups, self.dtype = 0, _dtype(potential)
        if not isinstance(potential.atomic, NoModel):
            self._take_networks(potential)
        self._searched: AtomsBatch | None = None  # the batch that these two are of
        self._topology: Any = None
        self._bounds: Any = None

    def _take_networks(self, potential: Potential) -> None:
        """Tables of functions and networks."""
        self.features = compiled(potential.descriptor)
        self.angular_groups = self.features.angular_groups
        self.columns = columns_of_centers(potential.descriptor)
        place = np.empty(self.features.width, np.int64)
        for mine in self.columns:
            place[mine] = np.arange(len(mine))
        self.functions = self.features.functions._replace(columns=place[self.features.functions.columns])
        self.networks, self.offsets = _tables(potential, self.columns)
        self.ranges = _range_tables(potential, self.columns)

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
        gradients = np.empty((len(topology.center), 3), self.dtype)
        virials = np.zeros((len(bounds) - 1, 3, 3))
        found = Outside.of(len(outputs) if outside else 0)
        place, made = (topology, positions, cell), (outputs, gradients)
        if self.networks is None:
            for field, nothing in zip(found, (0.0, -1, 0), strict=True):
                field.fill(nothing)
        else:
            kept, lowest, highest, per_width = self.ranges
            watch = Watch(kept, lowest, highest, per_width, TOLERANCE, found.severity, found.function, found.functions)

        def evaluate(first: int, last: int) -> None:
            mine, virial = bounds[first : last + 1], virials[first:last]
            if self.networks is None:
                evaluate_pair_terms(mine, *place, self.pair_terms, *made, virial)
            else:
                evaluate_blocks(
                    mine, *place, self.functions, self.networks, self.pair_terms, watch, *made, virial
                )  # fmt: skip

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
        return topology, block_bounds(table.start, self.angular_groups)


def _pair_terms(potential: Potential) -> PairTerms:
    """What the kernels of functions of pairs want; tables of no elements where there is no repulsion."""
    repulsion, baseline = potential.repulsion, potential.baseline
    fixed = np.empty((4, 0, 0))
    if repulsion is not None:
        tables = repulsion.strength, repulsion.decay, repulsion.inner, repulsion.outer
        fixed = np.stack([table.cpu().numpy() for table in tables])
    if baseline is None:
        return PairTerms(fixed, NONE, np.zeros(2), np.zeros((0, 0), np.int64), np.zeros((0, 0)), np.zeros((0, 0)))
    curves = (table.cpu().numpy() for table in (baseline.kind, baseline.table, baseline.cores))
    form = FORMS.index(baseline.form.name)
    return PairTerms(fixed, form, np.array([baseline.inner, baseline.cutoff]), *curves)


def _range_tables(
    potential: Potential, columns: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Columns kept of each element's features, -1 where there is none, their lowest and highest values, and one over
    the widths that distances from these are measured in.
    """
    ranges, kept = potential.ranges, np.full((len(columns), max(map(len, columns))), -1)
    for row, mine in zip(kept, columns, strict=True):
        row[: len(mine)] = mine
    low, high, per_width = (
        np.where(kept < 0, nothing, np.take_along_axis(table.cpu().numpy(), kept, axis=1)).astype(_dtype(potential))
        for table, nothing in ((ranges.lowest, -np.inf), (ranges.highest, np.inf), (1.0 / ranges.widths, 1.0))
    )
    return kept, low, high, per_width


def _dtype(potential: Potential) -> type[np.floating[Any]]:
    return np.float32 if potential.dtype == torch.float32 else np.float64


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
    dtype, elements = _dtype(potential), len(potential.elements)
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
