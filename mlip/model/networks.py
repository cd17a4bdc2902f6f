"""One multilayer perceptron per element and member of a committee: features of an atom in, one number out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from mlip.model.atomic import AtomicModel


class Softplus(nn.Module):
    r"""The soft step :math:`\ln(1 + e^x)`, exact where torch's own is cut off at x = 20."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Elementwise."""
        return functional.softplus(x, threshold=40)


class ReverseSigmoid(nn.Module):
    r"""The falling step :math:`1 - \sigma(x) = \sigma(-x)`."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Elementwise."""
        return torch.sigmoid(-x)


class Exponential(nn.Module):
    """The falling exponential :math:`e^{-x}`."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Elementwise."""
        return torch.exp(-x)


class Harmonic(nn.Module):
    """The square."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Elementwise."""
        return x * x


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
    "softplus": Softplus,
    "celu": nn.CELU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "gaussian": Gaussian,
    "cosine": Cosine,
    "linear": nn.Identity,
    "reverse_sigmoid": ReverseSigmoid,
    "exponential": Exponential,
    "harmonic": Harmonic,
}


def activation_of_layers(activation: str | Sequence[str], hidden: int) -> list[str]:
    """Names of the activations of so many hidden layers and the output; one name is that of all hidden layers.

    Raises:
        ValueError: a name is unknown, or there are more or fewer names than layers.
    """
    names = [activation] * hidden + ["linear"] if isinstance(activation, str) else list(activation)
    if len(names) != hidden + 1:
        raise ValueError(
            f"activation {names} has {len(names)} names for {hidden} hidden layers and the output; expected "
            f"{hidden + 1} names, the last that of the output, or one name for all hidden layers"
        )
    for name in [activation] if isinstance(activation, str) else names:
        if name not in ACTIVATIONS:
            raise ValueError(f"activation {name!r} is unknown; expected one of {', '.join(ACTIVATIONS)}")
    return names


def short_activation(names: Sequence[str]) -> str | list[str]:
    """What `activation_of_layers` makes these names of: one name where that is enough."""
    *hidden, output = names
    return (hidden or [output])[0] if output == "linear" and len(set(hidden)) <= 1 else list(names)


class MLP(nn.Sequential):
    r"""Layers :math:`x \mapsto f(W x + b)`, the last of one number; its f is the identity unless each layer has a name.

    Weights are drawn from :math:`\mathcal U(-\sqrt{3/n_{in}}, \sqrt{3/n_{in}})` (unit variance in, unit variance out
    before the activation), biases start at zero.

    Source of the scheme: LeCun et al., Efficient BackProp (1998), section 4.6.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        activation: str | Sequence[str],
        generator: torch.Generator | None,
    ) -> None:
        names = activation_of_layers(activation, len(hidden))
        layers: list[nn.Module] = []
        for (n_in, n_out), name in zip(pairwise([inputs, *hidden, 1]), names, strict=True):
            layers += [nn.Linear(n_in, n_out), ACTIVATIONS[name]()]
        super().__init__(*(layers[:-1] if names[-1] == "linear" else layers))
        for layer in self:
            if isinstance(layer, nn.Linear):
                bound = math.sqrt(3 / layer.in_features)
                nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
                nn.init.zeros_(layer.bias)


class AtomicNetworks(AtomicModel):
    """An MLP for each of E elements, applied to the atoms of that element; `members` times that in a committee.

    `hidden` and `activation` have one entry per element: the widths of its hidden layers, and the name of their
    activation (the output is linear) or a list of names, one for each layer, the output included. The attribute
    `activation` always has the lists. Network m E + e is that of member m for element e.

    Raises:
        ValueError: no members, an unknown activation, or not as many names as layers.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[Sequence[int]],
        activation: Sequence[str | Sequence[str]],
        generator: torch.Generator | None = None,
        members: int = 1,
    ) -> None:
        super().__init__()
        if members < 1:
            raise ValueError(f"a committee of {members} members; expected at least one")
        self.hidden = [list(widths) for widths in hidden]
        self.activation = [
            activation_of_layers(names, len(widths)) for names, widths in zip(activation, hidden, strict=True)
        ]
        self.members = members
        self.networks = nn.ModuleList(
            MLP(inputs, widths, names, generator)
            for _ in range(members)
            for widths, names in zip(self.hidden, self.activation, strict=True)
        )

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights, and of the features they take."""
        return next(self.parameters()).dtype

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
