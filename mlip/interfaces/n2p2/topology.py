"""Widths and activations of each element's network from the settings.

The keywords of single elements have had two meanings: RuNNer and n2p2 up to 2.1 give one layer in a line, n2p2 since
then all hidden layers. n2p2 3.0.0-dev moreover leaves the last hidden layer of `element_nodes_short`, and the output
of `element_activation_short`, as the global keyword says. A folder is read as the program read it that wrote its
weights: their number tells which widths are meant.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mlip.elements import symbol
from mlip.interfaces.n2p2.settings import Settings
from mlip.interfaces.n2p2.text import Line

logger = logging.getLogger(__name__)

MOST_LAYERS = 100
LETTERS = {
    "l": "linear",
    "t": "tanh",
    "s": "sigmoid",
    "p": "softplus",
    "r": "relu",
    "g": "gaussian",
    "c": "cosine",
    "S": "reverse_sigmoid",
    "e": "exponential",
    "h": "harmonic",
}


def hidden_layers(settings: Settings, number: int, elements: tuple[int, ...]) -> int:
    """Number of hidden layers of an element's network.

    Raises:
        ValueError: it is not given, or not positive.
    """
    cure = "Add it with the number of hidden layers"
    lines = settings.by_element("element_hidden_layers_short", elements)[number]
    line = lines[-1] if lines else settings.one("global_hidden_layers_short", cure)
    count = line.whole(0, "number of hidden layers")
    if count < 1:
        raise ValueError(f"{line.place}: {count} hidden layers; expected at least one")
    if count > MOST_LAYERS:
        raise ValueError(f"{line.place}: {count} hidden layers; expected at most {MOST_LAYERS}")
    return count


def possible_widths(settings: Settings, number: int, elements: tuple[int, ...]) -> list[list[int]]:
    """What the widths of the hidden layers of an element's network can be, the likeliest first.

    Raises:
        ValueError: they are not given, or not for as many layers as there are.
    """
    count = hidden_layers(settings, number, elements)
    lines = settings.by_element("element_nodes_short", elements)[number]
    general = _global_widths(settings, count)
    found: list[list[int]] = []
    for line in lines:
        if len(line.words) == count:
            widths = [line.whole(column, "number of nodes") for column in range(count)]
            found += [widths] if general is None else [widths, [*widths[:-1], general[-1]]]
    if all(len(line.words) == 2 for line in lines):
        widths = list(general or [0] * count)
        for line in lines:
            layer = line.whole(0, "number of the layer")
            if not 1 <= layer <= count:
                break
            widths[layer - 1] = line.whole(1, "number of nodes")
        else:
            found.append(widths)
    found = [widths for widths in found if min(widths) > 0]
    if not found:
        place = lines[0].place if lines else str(settings.path)
        raise ValueError(
            f"{place}: no widths for the {count} hidden layers of {symbol(number)}; expected positive numbers of "
            f"nodes, one for each layer, such as: global_nodes_short {' '.join(['20'] * count)}"
        )
    return found


def activations(settings: Settings, number: int, elements: tuple[int, ...]) -> list[str]:
    """Names of the activations of the layers of an element's network, the output included.

    Raises:
        ValueError: they are not given, not for as many layers as there are, or a letter is unknown.
    """
    layers = hidden_layers(settings, number, elements) + 1
    general = next(iter(settings.all("global_activation_short")), None)
    lines = settings.by_element("element_activation_short", elements)[number]
    line = lines[-1] if lines else settings.one("global_activation_short", "Add it with a letter for each layer")
    if len(lines) > 1 or (lines and line.words[0].isdecimal()):
        raise ValueError(
            f"{line.place}: activations of single layers or nodes of {symbol(number)}; expected one line with "
            f"{layers} letters, the last that of the output"
        )
    names = _names(line, layers)
    if lines and general is not None and len(general.words) == layers:
        output = _names(general, layers)[-1]
        if output != names[-1]:
            logger.warning(
                "%s: the output of %s is %s, not %s: n2p2 takes it from global_activation_short",
                line.place, symbol(number), output, names[-1],
            )  # fmt: skip
        names[-1] = output
    return names


def _global_widths(settings: Settings, count: int) -> list[int] | None:
    """The global widths if they are for so many layers; a line for another number of them is of other elements."""
    for line in settings.all("global_nodes_short"):
        if len(line.words) == count:
            return [line.whole(column, "number of nodes") for column in range(count)]
        for expected in settings.all("global_hidden_layers_short"):
            if expected.whole(0, "number of hidden layers") != len(line.words):
                raise ValueError(
                    f"{line.place}: global_nodes_short has {len(line.words)} numbers; expected "
                    f"{expected.words[0]}, one for each hidden layer"
                )
    return None


def _names(line: Line, layers: int) -> list[str]:
    letters: Sequence[str] = line.words
    if len(letters) != layers:
        raise ValueError(
            f"{line.place}: {len(letters)} activation letters '{' '.join(letters)}'; expected {layers}, one for each "
            "hidden layer and the output"
        )
    for letter in letters:
        if letter not in LETTERS:
            raise ValueError(f"{line.place}: activation '{letter}' is unknown; expected one of {' '.join(LETTERS)}")
    return [LETTERS[letter] for letter in letters]
