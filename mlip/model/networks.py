"""One multilayer perceptron per element and member of a committee: features of an atom in, one number out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Gaussian(nn.Module):
    r"""The bell curve :math:`e^{-x^2/2}`."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Elementwise."""
        return torch.exp(-0.5 * x**2)


class Cosine(nn.Module):
    """The cosine as an activation."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Elementwise."""
        return torch.cos(x)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "celu": nn.CELU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "gaussian": Gaussian,
    "cosine": Cosine,
}


class MLP(nn.Sequential):
    r"""Layers :math:`x \mapsto f(W x + b)` and a linear output of one number.

    Weights are drawn from :math:`\mathcal U(-\sqrt{3/n_{in}}, \sqrt{3/n_{in}})` (unit variance in, unit variance out
    before the activation), biases start at zero.

    Source of the scheme: LeCun et al., Efficient BackProp (1998), section 4.6.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], activation: str, generator: torch.Generator | None) -> None:
        widths = [inputs, *hidden, 1]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
        super().__init__(*layers[:-1])
        for layer in self:
            if isinstance(layer, nn.Linear):
                bound = math.sqrt(3 / layer.in_features)
                nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
                nn.init.zeros_(layer.bias)


class AtomicNetworks(nn.Module):
    """An MLP for each of E elements, applied to the atoms of that element; `members` times that in a committee.

    `hidden` and `activation` have one entry per element. Network m E + e is that of member m for element e.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[Sequence[int]],
        activation: Sequence[str],
        generator: torch.Generator | None = None,
        members: int = 1,
    ) -> None:
        super().__init__()
        if members < 1:
            raise ValueError(f"a committee of {members} members; expected at least one")
        self.hidden = [list(widths) for widths in hidden]
        self.activation = list(activation)
        self.members = members
        self.networks = nn.ModuleList(
            MLP(inputs, widths, name, generator)
            for _ in range(members)
            for widths, name in zip(hidden, activation, strict=True)
        )

    def linear(self, network: int) -> list[nn.Linear]:
        """The layers of a network, from the inputs to the output."""
        chosen = self.networks[network]
        assert isinstance(chosen, MLP)
        return [layer for layer in chosen if isinstance(layer, nn.Linear)]

    def forward(self, features: Float[Tensor, "N D"], element: Int[Tensor, "N"]) -> Float[Tensor, "K N"]:
        """Output of each atom's network in each of K members; `element` counts 0 to E-1."""
        order = torch.argsort(element, stable=True)
        elements = len(self.hidden)
        counts = torch.bincount(element, minlength=elements).tolist()
        parts = features[order].split(counts)
        outputs = [
            torch.cat([self.networks[m * elements + e](part) for e, part in enumerate(parts) if len(part)])[:, 0]
            for m in range(self.members)
        ]
        return torch.stack(outputs)[:, torch.argsort(order)]
