"""All weights of a potential's networks in one array, and their gradients in another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mlip.model.networks import AtomicNetworks


class WeightTable:
    """Makes the weights of all networks views of one tensor, `weights`, and their gradients views of `weights.grad`.

    So an optimizer may have a single tensor where the shape of a matrix means nothing to it, and a kernel finds all
    weights in one place, laid out as `layout_of` says. The networks may be those of some members of a committee that
    has `whole` of them.
    """

    def __init__(self, networks: AtomicNetworks, whole: int | None = None) -> None:
        layers = [networks.linear(i) for i in range(len(networks.networks))]
        self.widths, self.offset = layout_of([[layer.weight.shape for layer in mine] for mine in layers])
        self.members, self._whole = networks.members, whole or networks.members
        parts = [part for mine in layers for layer in mine for part in (layer.weight, layer.bias)]
        self.weights = nn.Parameter(torch.cat([part.detach().ravel() for part in parts]))
        self.weights.grad = torch.zeros_like(self.weights)
        filled = 0
        for part in parts:
            place = slice(filled, filled + part.numel())
            part.data = self.weights.data[place].view(part.shape)
            part.grad = self.weights.grad[place].view(part.shape)
            filled += part.numel()

    @property
    def complete(self) -> bool:
        """Whether all members of the committee are here."""
        return self.members == self._whole

    def matrices(self) -> list[Float[Tensor, "B out in"]]:
        """All matrices as views of `weights`, those of equal shape that are evenly spaced together."""
        found = []
        for _, n_out, n_in, (first, *others) in self._alike():
            stride = (others[0] - first if others else 0, n_in, 1)
            shape = (1 + len(others), n_out, n_in)
            found.append(torch.as_strided(self.weights.detach(), shape, stride, first))
        return found

    def sharing(self) -> list[int]:
        """For each of `matrices`, how many members of the whole committee have the same inputs to them: the features.

        Of B matrices with K members, matrix m B/K + n is that of member m, and has the inputs of matrix n.
        """
        return [self._whole if layer == 0 else 1 for layer, *_ in self._alike()]

    def _alike(self) -> list[tuple[int, int, int, list[int]]]:
        """Layer, rows and columns of matrices that are evenly spaced, and where each begins; member by member."""
        places: dict[tuple[int, int, int], dict[int, list[int]]] = {}
        elements = len(self.offset) // self.members
        for network, offsets in enumerate(self.offset.tolist()):
            for layer, first in enumerate(offsets):
                n_in, n_out = self.widths[network, layer : layer + 2].tolist()
                if n_out:
                    by_element = places.setdefault((layer, n_out, n_in), {})
                    by_element.setdefault(network % elements, []).append(first)
        found = []
        for shape, by_element in places.items():
            starts = [first for member in zip(*by_element.values(), strict=True) for first in member]
            # As in the whole committee, so that a part of it has the same groups.
            following = [starts[0] + len(self.weights)] if self._whole > 1 else []
            even = len({b - a for a, b in pairwise(starts + following)}) <= 1
            found += [(*shape, together) for together in ([starts] if even else by_element.values())]
        return found

    def clip_gradients(self, largest: float) -> None:
        """Shorten the gradient of each member of a committee that is longer than `largest`."""
        assert self.weights.grad is not None
        for gradient in self.weights.grad.view(self.members, -1):
            gradient.mul_((largest / (gradient.norm() + 1e-6)).clamp(max=1.0))

    def forget_gradients(self) -> None:
        """Set all gradients to zero."""
        assert self.weights.grad is not None
        self.weights.grad.zero_()


def layout_of(shapes: Sequence[Sequence[Sequence[int]]]) -> tuple[Int[Tensor, "B _"], Int[Tensor, "B _"]]:
    """Widths of inputs and layers, 0 where there is none, and where each layer begins in an array of all weights.

    `shapes` are those (out,in) of the matrices of B networks. A layer's matrix is followed by its bias, a layer by the
    next, a network by the next.
    """
    depth = max(len(mine) for mine in shapes)
    widths = torch.zeros(len(shapes), depth + 1, dtype=torch.int64)
    offset = torch.zeros(len(shapes), depth, dtype=torch.int64)
    filled = 0
    for network, mine in enumerate(shapes):
        widths[network, 0] = mine[0][1]
        for n, (n_out, n_in) in enumerate(mine):
            widths[network, n + 1], offset[network, n] = n_out, filled
            filled += n_out * n_in + n_out
    return widths, offset
