"""weights.ZZZ.data: weights and biases of one element's network, one in a line.

Layer by layer: the weights from the first input to all nodes, from the second, ...; then the biases of all nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mlip.interfaces.n2p2.text import header, read_lines


class Layer(NamedTuple):
    """A layer of a network."""

    weight: Float[np.ndarray, "out in"]
    bias: Float[np.ndarray, "out"]


def file_name(number: int) -> str:
    """The weights' file of an element (atomic number)."""
    return f"weights.{number:03d}.data"


def count_of(widths: Sequence[int]) -> int:
    """How many weights and biases a network has, whose inputs, layers and output are as wide as this."""
    return sum((before + 1) * after for before, after in pairwise(widths))


def read_weights(path: Path, inputs: int, possible: Sequence[Sequence[int]]) -> list[Layer]:
    """The layers of a network with so many inputs, and hidden layers that are as wide as one of `possible`.

    Raises:
        ValueError: there is no such file, a line has no number, or their number is that of no such network.
    """
    lines = list(read_lines(path, "#"))
    values = np.array([line.real(0, "weight") for line in lines])
    fitting = [hidden for hidden in possible if count_of([inputs, *hidden, 1]) == len(values)]
    if not fitting:
        shapes = " or ".join("-".join(map(str, [inputs, *hidden, 1])) for hidden in possible)
        counts = " or ".join(str(count_of([inputs, *hidden, 1])) for hidden in possible)
        raise ValueError(
            f"{path}: {len(values)} weights; expected {counts} for a network {shapes} (inputs, layers, output) as "
            "input.nn has it. Copy the file again, or correct input.nn"
        )
    widths = [inputs, *fitting[0], 1]
    layers, first = [], 0
    for before, after in pairwise(widths):
        end = first + before * after
        for line, letter in zip(lines[first : end + after], "a" * (before * after) + "b" * after, strict=True):
            if line.words[1:2] in (("a",), ("b",)) and line.words[1] != letter:
                raise ValueError(
                    f"{line.place}: '{line.words[1]}' stands where a network {'-'.join(map(str, widths))} has "
                    f"'{letter}' (a weight, b bias). Is this the file of this input.nn?"
                )
        layers.append(Layer(values[first:end].reshape(before, after).T.copy(), values[end : end + after].copy()))
        first = end + after
    return layers


TABLE = (
    (24, "connection", "Neural network connection value."),
    (1, "t", "Connection type (a = weight, b = bias)."),
    (9, "index", "Index enumerating weights."),
    (5, "l_s", "Starting point layer (end point layer for biases)."),
    (5, "n_s", "Starting point neuron in starting layer (end point neuron for biases)."),
    (5, "l_e", "End point layer."),
    (5, "n_e", "End point neuron in end layer."),
)


def weights_text(layers: Sequence[Layer]) -> str:
    """The file of a network."""
    rows: list[str] = []
    for depth, layer in enumerate(layers, 1):
        for source, column in enumerate(layer.weight.T, 1):
            for node, value in enumerate(column, 1):
                rows.append(f"{value:24.16E} a {len(rows) + 1:9d} {depth - 1:5d} {source:5d} {depth:5d} {node:5d}")
        for node, value in enumerate(layer.bias, 1):
            rows.append(f"{value:24.16E} b {len(rows) + 1:9d} {depth:5d} {node:5d}")
    return header("Neural network connection values (weights and biases).", TABLE) + "\n".join(rows) + "\n"
