"""All weights of a potential's networks in one array, and their gradients in another."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mlip.model.networks import AtomicNetworks


class WeightTable:
    """Makes the weights of all networks views of one tensor, `weights`, and their gradients views of `weights.grad`.

    So an optimizer may have a single tensor where the shape of a matrix means nothing to it, and a kernel finds all
    weights in one place. Each layer's matrix (out,in) is followed by its bias; `offset` (E,L) says where; `widths`
    (E,L+1) are those of inputs and layers, 0 where there is none.
    """

    def __init__(self, networks: AtomicNetworks) -> None:
        layers = [networks.linear(e) for e in range(len(networks.hidden))]
        depth = max(len(mine) for mine in layers)
        self.widths = torch.zeros(len(layers), depth + 1, dtype=torch.int64)
        self.offset = torch.zeros(len(layers), depth, dtype=torch.int64)
        self.weights = nn.Parameter(torch.cat([p.detach().ravel() for mine in layers for n in mine for p in _parts(n)]))
        self.weights.grad = torch.zeros_like(self.weights)
        filled = 0
        for e, mine in enumerate(layers):
            self.widths[e, 0] = mine[0].in_features
            for n, layer in enumerate(mine):
                self.widths[e, n + 1], self.offset[e, n] = layer.out_features, filled
                for part in _parts(layer):
                    place = slice(filled, filled + part.numel())
                    part.data = self.weights.data[place].view(part.shape)
                    part.grad = self.weights.grad[place].view(part.shape)
                    filled += part.numel()

    def matrices(self) -> list[Float[Tensor, "B out in"]]:
        """All matrices as views of `weights`, those of equal shape that are evenly spaced together."""
        places: dict[tuple[int, int, int], list[int]] = {}
        for e, offsets in enumerate(self.offset.tolist()):
            for layer, first in enumerate(offsets):
                n_in, n_out = self.widths[e, layer : layer + 2].tolist()
                if n_out:
                    places.setdefault((layer, n_out, n_in), []).append(first)
        found = []
        for (_, n_out, n_in), starts in places.items():
            steps = {b - a for a, b in pairwise(starts)}
            together = [starts] if len(steps) <= 1 else [[start] for start in starts]
            for first, *others in together:
                stride = (others[0] - first if others else 0, n_in, 1)
                shape = (1 + len(others), n_out, n_in)
                found.append(torch.as_strided(self.weights.detach(), shape, stride, first))
        return found

    def forget_gradients(self) -> None:
        """Set all gradients to zero."""
        assert self.weights.grad is not None
        self.weights.grad.zero_()


def _parts(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    return layer.weight, layer.bias
