"""From one potential to a larger one with the same predictions: more elements, more functions, another scaling."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mlip.descriptors.functions import SymmetryFunction
from mlip.model.potential import Potential
from mlip.model.ranges import FeatureRanges


def columns_of(old: Sequence[SymmetryFunction], new: Sequence[SymmetryFunction]) -> list[int]:
    """Column of each old function among the new ones.

    Raises:
        ValueError: one is not there; the message names it.
    """
    places: dict[SymmetryFunction, list[int]] = defaultdict(list)
    for column, function in reversed(list(enumerate(new))):
        places[function].append(column)
    columns = []
    for function in old:
        if not places[function]:
            raise ValueError(f"there is no {function}")
        columns.append(places[function].pop())
    return columns


@torch.no_grad()
def take_over(new: Potential, old: Potential, *, rescaled: Collection[int] = ()) -> None:
    r"""Give a potential the predictions of a smaller one, wherever all atoms are of elements that one knows.

    `new` has all elements and functions of `old`, as many members, and networks of the same layers for these elements;
    of other elements it keeps its own. An old network has zero weights for functions that are new to it. Elements in
    `rescaled` (atomic numbers) keep the scaling (c', s') of `new`; their first layer W, b, learned with (c, s), becomes

    .. math:: W' = W\, \mathrm{diag}(s'/s), \qquad b' = b + W\, (c' - c) / s

    the others get the scaling of `old`. There new functions are not shifted: where no new element is near they stay
    zero, so that what their weights learn later does not touch structures of old elements.

    The ranges of features become those of both training sets, where functions of new elements were zero in the old one.

    Raises:
        ValueError: `new` lacks a function of `old`.
    """
    columns = torch.tensor(columns_of(old.descriptor.functions, new.descriptor.functions))
    for row, number in enumerate(old.elements):
        place = new.elements.index(number)
        shift, scale = (values[row].to(new.device) for values in (old.scaling.shift, old.scaling.scale))
        if number not in rescaled:
            new.scaling.shift[place] = 0.0
            new.scaling.shift[place, columns] = shift
            new.scaling.scale[place, columns] = scale
        stretch = new.scaling.scale[place, columns] / scale
        moved = (new.scaling.shift[place, columns] - shift) / scale
        for member in range(old.members):
            mine = new.networks.linear(member * len(new.elements) + place)
            given = old.networks.linear(member * len(old.elements) + row)
            _take_network(mine, given, columns, stretch, moved)
        new.reference_energies[place] = old.reference_energies[row]
    new.ranges = _ranges_together(new, old, columns).to(new.device)
    new.energy_scale, new.anchored = old.energy_scale, old.anchored


@torch.no_grad()
def anchor(potential: Potential) -> None:
    """Write the same predictions so that the reference energies are those of lone atoms."""
    potential.reference_energies.copy_(potential.isolated_energies())
    potential.anchored = True


def _ranges_together(new: Potential, old: Potential, columns: Int[Tensor, "D"]) -> FeatureRanges:
    """Ranges of the training sets of both; of `old` alone for an element that `new` has seen no atom of."""
    lowest, highest = new.ranges.lowest.cpu().clone(), new.ranges.highest.cpu().clone()
    strange = torch.tensor([_is_strange(function, old.elements) for function in new.descriptor.functions])
    for row, number in enumerate(old.elements):
        place = new.elements.index(number)
        unseen = bool((lowest[place] == -torch.inf).all())
        for values, given, choose in (
            (lowest, old.ranges.lowest, torch.minimum),
            (highest, old.ranges.highest, torch.maximum),
        ):
            unknown = -torch.inf if choose is torch.minimum else torch.inf
            before = torch.where(strange, 0.0, unknown).to(values)
            before[columns] = given[row].cpu()
            values[place] = before if unseen else choose(before, values[place])
    return FeatureRanges(lowest, highest)


def _is_strange(function: SymmetryFunction, elements: Collection[int]) -> bool:
    """Whether a function is zero around and among atoms of these elements, for it needs another."""
    lacks_neighbor = not function.weights and not function.elements <= set(elements)
    return lacks_neighbor or function.center not in (None, *elements)


def _take_network(
    new: Sequence[nn.Linear],
    old: Sequence[nn.Linear],
    columns: Int[Tensor, "D"],
    stretch: Float[Tensor, "D"],
    moved: Float[Tensor, "D"],
) -> None:
    """The layers of one network, the first written for features that are moved and stretched."""
    for layer, (mine, given) in enumerate(zip(new, old, strict=True)):
        weight, bias = given.weight.double().to(stretch.device), given.bias.double().to(stretch.device)
        if layer == 0:
            mine.weight.zero_()
            mine.weight[:, columns] = (weight * stretch).to(mine.weight)
            bias = bias + weight @ moved
        else:
            mine.weight.copy_(weight)
        mine.bias.copy_(bias)
