"""Networks of one shape: nodes and layers that change nothing are added where some elements have fewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class NamedLayer(NamedTuple):
    """A layer of a network and its activation."""

    weight: Float[np.ndarray, "out in"]
    bias: Float[np.ndarray, "out"]
    activation: str


IDENTITY = NamedLayer(np.eye(1), np.zeros(1), "linear")


def with_linear_output(layers: Sequence[NamedLayer]) -> list[NamedLayer]:
    """The same network with a linear output and at least one hidden layer."""
    bent = layers[-1].activation != "linear" or len(layers) == 1
    return [*layers, IDENTITY] if bent else list(layers)


def scaled(layers: Sequence[NamedLayer], factor: float) -> list[NamedLayer]:
    """The network times a factor; its output is linear."""
    *hidden, output = layers
    return [*hidden, output._replace(weight=factor * output.weight, bias=factor * output.bias)]


def alike(networks: Sequence[Sequence[NamedLayer]]) -> list[list[NamedLayer]]:
    """The same networks with as many layers, and as many nodes in each of them."""
    depth = max(map(len, networks))
    deep = [_deepened(layers, depth) for layers in networks]
    widths = [max(len(layers[n].bias) for layers in deep) for n in range(depth)]
    return [_widened(layers, widths) for layers in deep]


def _deepened(layers: Sequence[NamedLayer], depth: int) -> list[NamedLayer]:
    """With linear layers before the output that hand on what they get."""
    *hidden, output = layers
    width = output.weight.shape[1]
    through = NamedLayer(np.eye(width), np.zeros(width), "linear")
    return [*hidden, *[through] * (depth - len(layers)), output]


def _widened(layers: Sequence[NamedLayer], widths: Sequence[int]) -> list[NamedLayer]:
    """With nodes that get nothing and have no weight in the next layer."""
    made, inputs = [], layers[0].weight.shape[1]
    for layer, width in zip(layers, widths, strict=True):
        weight = np.zeros((width, inputs))
        weight[: layer.weight.shape[0], : layer.weight.shape[1]] = layer.weight
        bias = np.zeros(width)
        bias[: len(layer.bias)] = layer.bias
        made.append(NamedLayer(weight, bias, layer.activation))
        inputs = width
    return made
