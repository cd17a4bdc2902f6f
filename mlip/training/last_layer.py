"""The last layers' weights by linear regression: energy, forces and stress are linear in them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mlip.batch import AtomsBatch, Properties, pair_vectors, sum_per_structure
from mlip.descriptors.backends import fastest
from mlip.descriptors.operation import Products
from mlip.device import denormals_are_zero
from mlip.model.committee import member_of
from mlip.model.derivatives import forces_of, stress_of
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential
from mlip.model.potential_pass import PotentialPass
from mlip.training.examples import Examples
from mlip.training.loss import Loss
from mlip.training.validation import evaluate_examples

RIDGES = tuple(10.0**-n for n in range(11))  # of the largest eigenvalue


class NormalEquations(NamedTuple):
    r"""Those of the change :math:`\delta` of the last layers: :math:`A\,\delta = b` where the loss is least."""

    matrix: Float[Tensor, "K K"]
    right: Float[Tensor, "K"]


def solve_last_layers(potential: Potential, train: Examples, valid: Examples, loss: Loss) -> list[float]:
    r"""Change the last layers of all elements together to the best ones on the training set; returns the ridges.

    There is one for each member of a committee, for each is solved by itself.

    With the rows x of the design matrix (what a unit of each last weight adds to a prediction), what is left to
    predict r, and each label's weight v in the loss (squares, whatever its form):

    .. math:: (A + \lambda s)\,\delta = b, \qquad A = \sum v\, x x^T, \quad b = \sum v\, x\, r, \qquad
              s = \text{largest eigenvalue of } A

    so a large ridge :math:`\lambda` leaves the trained weights as they are. It is the one of `RIDGES` that has the
    smallest loss on the validation structures.

    Source: Hoerl, Kennard, Technometrics 12, 55 (1970), eq. 2.3, about the trained weights instead of zero.

    Raises:
        ValueError: an output is not linear, so that nothing is linear in the last weights.
    """
    outputs = {names[-1] for names in potential.networks.activation} - {"linear"}
    if outputs:
        raise ValueError(
            f"the networks' outputs are {', '.join(sorted(outputs))}; only last layers of linear outputs are solved"
        )
    assert len(valid), "they choose the ridge"
    return [_solve(member_of(potential, member), train, valid, loss) for member in range(potential.members)]


def _solve(potential: Potential, train: Examples, valid: Examples, loss: Loss) -> float:
    """The same of one member."""
    equations = normal_equations(potential, train, loss)
    values, vectors = torch.linalg.eigh(equations.matrix)
    along = vectors.mT @ equations.right
    trained = last_weights(potential.networks)
    losses = {}
    for ridge in RIDGES:
        change = vectors @ (along / (values.clamp(min=0) + ridge * values[-1].clamp(min=1e-300)))
        set_last_weights(potential.networks, trained + change)
        losses[evaluate_examples(potential, valid, loss)[0]] = ridge, change
    ridge, change = losses[min(losses)]
    set_last_weights(potential.networks, trained + change)
    return ridge


@torch.no_grad()
@denormals_are_zero()
def normal_equations(potential: Potential, examples: Examples, loss: Loss) -> NormalEquations:
    """A and b of all structures, accumulated in float64."""
    weights = last_weights(potential.networks)
    matrix = weights.new_zeros(len(weights), len(weights))
    right = torch.zeros_like(weights)
    known = examples.known_labels()
    shares = [
        term.weight / max(1, count) for term, count in zip((loss.energy, loss.forces, loss.stress), known, strict=True)
    ]
    for chunk in examples.chunks():
        batch, labels, features = examples.take(chunk)
        forces, stress = examples.has_forces, examples.has_stress
        for rows, label, share in zip(
            _design(potential, batch, features, forces, stress), _left(potential, batch, labels), shares, strict=True
        ):
            if rows is None or label is None or not share:
                continue
            kept = torch.isfinite(label).flatten()
            x = rows.flatten(0, -2)[kept]
            matrix.addmm_(x.mT, x, alpha=share)
            right.addmv_(x.mT, label.flatten()[kept].double() - x @ weights, alpha=share)
    return NormalEquations(matrix, right)


def last_weights(networks: AtomicNetworks) -> Float[Tensor, "K"]:
    """Weights and bias of each element's last layer, one element after the other, in float64."""
    return torch.cat([part.detach().double().flatten() for part in _last_parts(networks)])


@torch.no_grad()
def set_last_weights(networks: AtomicNetworks, weights: Float[Tensor, "K"]) -> None:
    """The inverse of `last_weights`."""
    filled = 0
    for part in _last_parts(networks):
        part.copy_(weights[filled : filled + part.numel()].view(part.shape))
        filled += part.numel()


def _last_parts(networks: AtomicNetworks) -> Iterator[Tensor]:
    for element in range(len(networks.hidden)):
        layer = networks.linear(element)[-1]
        yield layer.weight
        yield layer.bias


def _left(potential: Potential, batch: AtomsBatch, labels: Properties) -> Sequence[Tensor | None]:
    """What the networks have to predict of each label: energies per atom without the atoms' reference energies."""
    references = sum_per_structure(potential.reference_energies[potential.element_of(batch.numbers)], batch)
    return (labels.energy - references) / _sizes(batch), labels.forces, labels.stress


def _design(
    potential: Potential, batch: AtomsBatch, products: Products | None, forces: bool, stress: bool
) -> tuple[Float[Tensor, "S K"], Float[Tensor, "N 3 K"] | None, Float[Tensor, "S 3 3 K"] | None]:
    """Energy per atom, forces and stress by each last weight: those with a single 1 in the last layers."""
    vectors = pair_vectors(batch).to(potential.dtype)
    if products is None:
        products = fastest(potential.descriptor, vectors.device).products(batch.numbers, batch.pairs, vectors)
    networks = copy.deepcopy(potential.networks)
    probe = Potential(
        potential.descriptor,
        potential.scaling,
        networks,
        [0.0] * len(potential.elements),
        energy_scale=potential.energy_scale,
        anchored=potential.anchored,
    ).to(potential.device)
    widths = [networks.linear(e)[-1].in_features for e in range(len(networks.hidden))]
    starts = torch.tensor([0, *(width + 1 for width in widths)]).cumsum(0).tolist()
    element = potential.element_of(batch.numbers)
    owner = element[batch.pairs[0]]
    columns = starts[-1]
    by_energy = torch.zeros(len(batch.cell), columns, dtype=torch.float64, device=vectors.device)
    by_forces = by_energy.new_zeros(len(batch.numbers), 3, columns) if forces or stress else None
    by_stress = by_energy.new_zeros(len(batch.cell), 3, 3, columns) if stress else None
    for k in range(max(widths) + 1):
        for e, width in enumerate(widths):
            layer = networks.linear(e)[-1]
            layer.weight.copy_((torch.arange(width) == k).to(layer.weight))
            layer.bias.fill_(float(k == width))
        energies, gradients = PotentialPass(probe, products.features, batch.numbers).mean()
        gradient = products.pair_gradients(gradients) if forces or stress else None
        for e, width in enumerate(widths):
            if k > width:
                continue
            column = starts[e] + k
            by_energy[:, column] = sum_per_structure(energies * (element == e), batch) / _sizes(batch)
            if gradient is None or k == width:
                continue
            mine = gradient * (owner == e)[:, None]
            if by_forces is not None:
                by_forces[:, :, column] = forces_of(batch, mine).double()
            if by_stress is not None:
                by_stress[..., column] = stress_of(batch, vectors, mine).double()
    return by_energy, by_forces, by_stress


def _sizes(batch: AtomsBatch) -> Tensor:
    return torch.bincount(batch.structure, minlength=len(batch.cell))
