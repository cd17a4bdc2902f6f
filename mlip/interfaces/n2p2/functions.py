"""Lines of symmetry functions and our functions, and n2p2's order of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

from mlip.descriptors.compact_functions import CompactFunction
from mlip.descriptors.cutoffs import WITHOUT_INNER_CUTOFF
from mlip.descriptors.functions import KINDS, SymmetryFunction, function_from_dict
from mlip.elements import symbol
from mlip.interfaces.n2p2.compact import as_n2p2_computes
from mlip.interfaces.n2p2.settings import Settings
from mlip.interfaces.n2p2.text import Line

logger = logging.getLogger(__name__)

ORDER_OF_CUTOFFS = (
    "hard", "cosine", "tanh", "tanh_normalized", "exponential", "polynomial_1", "polynomial", "polynomial_3",
    "polynomial_4",
)  # fmt: skip


class Form(NamedTuple):
    """How a type of function stands in a line: center, type, `neighbors` elements, then its numbers in this order."""

    kind: str
    neighbors: int  # 0: all elements, weighted with their atomic numbers
    numbers: tuple[str, ...]
    order: tuple[str, ...]  # what the functions of a center are sorted by


_SHELL = ("inner", "cutoff")
_ANGLES = ("theta_low", "theta_high")
_SORTED = ("cutoff", "eta", "r_s", "zeta", "lambda_")
FORMS = {
    2: Form("radial", 1, ("eta", "r_s", "cutoff"), ("cutoff", "eta", "r_s", "neighbors")),
    3: Form("narrow", 2, ("eta", "lambda_", "zeta", "cutoff", "r_s"), (*_SORTED, "neighbors")),
    9: Form("wide", 2, ("eta", "lambda_", "zeta", "cutoff", "r_s"), (*_SORTED, "neighbors")),
    12: Form("radial", 0, ("eta", "r_s", "cutoff"), ("cutoff", "eta", "r_s")),
    13: Form("narrow", 0, ("eta", "r_s", "lambda_", "zeta", "cutoff"), _SORTED),
    20: Form("compact_radial", 1, (*_SHELL, "shape"), ("shape", "neighbors", "cutoff", "inner")),
    21: Form("compact_narrow", 2, (*_SHELL, *_ANGLES, "shape"), ("shape", "neighbors", "cutoff", "inner", *_ANGLES)),
    22: Form("compact_wide", 2, (*_SHELL, *_ANGLES, "shape"), ("shape", "neighbors", "cutoff", "inner", *_ANGLES)),
    23: Form("compact_radial", 0, (*_SHELL, "shape"), ("shape", "cutoff", "inner")),
    24: Form("compact_narrow", 0, (*_SHELL, *_ANGLES, "shape"), ("shape", "cutoff", "inner", *_ANGLES)),
    25: Form("compact_wide", 0, (*_SHELL, *_ANGLES, "shape"), ("shape", "cutoff", "inner", *_ANGLES)),
}
OPTIONAL = {(3, "r_s"), (9, "r_s")}  # at the end of the line
LENGTHS = {"cutoff": 1, "r_s": 1, "inner": 1, "inner_cutoff": 1, "eta": -2}  # powers of the unit of length
REPLACEMENTS = {
    "log_normal": "radial (types 2 and 12) or compact_radial (20, 23)",
    "bessel": "radial (types 2 and 12) or compact_radial (20, 23)",
}
ANGULAR = "narrow (types 3 and 13), wide (9), compact_narrow (21, 24) or compact_wide (22, 25)"


class Found(NamedTuple):
    """A function of input.nn and the line it comes from."""

    function: SymmetryFunction
    type: int
    place: str

    @property
    def key(self) -> tuple[Any, ...]:
        """What n2p2 sorts the functions of a center by."""
        return (self.type, *(getattr(self.function, name) for name in FORMS[self.type].order))


class Cutoff(NamedTuple):
    """The cutoff function of all functions that have one; `share` is the inner cutoff as a part of the cutoff."""

    name: str
    share: float


def read_functions(settings: Settings, elements: tuple[int, ...], length: float) -> dict[int, list[Found]]:
    """The functions of each center in n2p2's order, which is that of scaling.data and of the networks' inputs.

    `length` is the unit of length in Å.

    Raises:
        ValueError: a line cannot be understood, or an element has no functions.
    """
    cutoff = _read_cutoff(settings)
    found: dict[int, list[Found]] = {number: [] for number in elements}
    for line in _expanded(settings, elements):
        function, number = _function(line, elements, cutoff, length)
        assert function.center is not None
        found[function.center].append(Found(function, number, line.place))
    for number, functions in found.items():
        if not functions:
            raise ValueError(
                f"{settings.path}: no symfunction_short around {symbol(number)}; expected at least one around each of "
                "the elements"
            )
        functions.sort(key=lambda one: one.key)
        computed = as_n2p2_computes([one.function for one in functions])
        found[number] = [one._replace(function=f) for one, f in zip(functions, computed, strict=True)]
    return found


def shared_columns(functions: Mapping[int, Sequence[Found]]) -> tuple[list[SymmetryFunction], dict[int, list[int]]]:
    """Functions as columns, one for all centers where they all have it, and the columns of each center's functions."""
    places: dict[int, dict[tuple[SymmetryFunction, int], int]] = {}
    for center, mine in functions.items():
        seen: dict[SymmetryFunction, int] = {}
        places[center] = {}
        for row, one in enumerate(mine):
            alike = replace(one.function, center=None)
            seen[alike] = seen.get(alike, -1) + 1  # a line may stand twice
            places[center][alike, seen[alike]] = row
    columns: list[SymmetryFunction] = []
    column_of: dict[int, list[int]] = {center: [0] * len(mine) for center, mine in functions.items()}
    shared: dict[tuple[SymmetryFunction, int], int] = {}
    for center, rows in places.items():
        for (alike, copy), row in rows.items():
            everywhere = all((alike, copy) in others for others in places.values())
            if everywhere and (alike, copy) in shared:
                column_of[center][row] = shared[alike, copy]
                continue
            column_of[center][row] = len(columns)
            if everywhere:
                shared[alike, copy] = len(columns)
            columns.append(alike if everywhere else replace(alike, center=center))
    return columns, column_of


def type_of(function: SymmetryFunction, elements: tuple[int, ...]) -> int:
    """The type of a function in the format.

    Raises:
        ValueError: there is none; the message names the function and the types that could replace it.
    """
    neighbors = 0 if function.weights else function.order
    for number, form in FORMS.items():
        if form.kind == function.kind and form.neighbors == neighbors:
            if neighbors == 0 and dict(function.weights) != {z: z for z in elements}:
                raise ValueError(
                    f"{function}: the format weights all of the potential's elements with their atomic numbers, and "
                    "nothing else. Train with such weights (weighted: true), or with functions of single elements"
                )
            return number
    if function.kind in {form.kind for form in FORMS.values()}:
        instead = "narrow with weights (type 13) or compact_wide with weights (25)"
    else:
        instead = REPLACEMENTS.get(function.kind, ANGULAR if function.order == 2 else REPLACEMENTS["bessel"])
    raise ValueError(
        f"{function}: the format of RuNNer and n2p2 has no such function, so the potential cannot be exported. "
        f"Train one with {instead}"
    )


def cutoff_of(functions: Iterable[SymmetryFunction]) -> Cutoff:
    """The one cutoff function that all of these have; those with compact support have none.

    Raises:
        ValueError: there are several.
    """
    first: SymmetryFunction | None = None
    share = 0.0
    for function in functions:
        if isinstance(function, CompactFunction):
            continue
        if first is None:
            first, share = function, function.inner_cutoff / function.cutoff
        same = function.cutoff_function == first.cutoff_function
        if not same or abs(share * function.cutoff - function.inner_cutoff) > 1e-12 * function.cutoff:
            raise ValueError(
                f"{function} and {first} differ in the cutoff function or in the share of the cutoff that is the inner "
                "cutoff; the format has one for all functions. Train with the same for all"
            )
    return Cutoff(first.cutoff_function if first else "cosine", share)


def line_of(found: Found, length: float) -> str:
    """A function as a line of input.nn; lengths are written in units of `length` (Å)."""
    function, form = found.function, FORMS[found.type]
    assert function.center is not None
    numbers = [getattr(function, name) for name in form.numbers]
    scaled = [
        value if isinstance(value, str) else repr(float(value / length ** LENGTHS.get(name, 0)))
        for name, value in zip(form.numbers, numbers, strict=True)
    ]
    words = [symbol(function.center), str(found.type), *map(symbol, function.neighbors), *scaled]
    return " ".join(["symfunction_short", *words])


def _read_cutoff(settings: Settings) -> Cutoff:
    """RuNNer takes the cosine where cutoff_type is missing; the inner cutoff has a keyword of its own there."""
    number, share, place = 1, 0.0, str(settings.path)
    for line in settings.all("cutoff_type"):
        number, place = line.whole(0, "cutoff_type"), line.place
        share = line.real(1, "inner cutoff") if len(line.words) > 1 else 0.0
        line.nothing_after(2)
    for line in settings.all("cutoff_alpha"):
        share, place = line.real(0, "cutoff_alpha"), line.place
    if not 0 <= number < len(ORDER_OF_CUTOFFS):
        raise ValueError(f"{place}: cutoff_type is {number}; expected 0 to {len(ORDER_OF_CUTOFFS) - 1}")
    if not 0 <= share < 1:
        raise ValueError(f"{place}: the inner cutoff is {share} of the cutoff; expected from 0 to less than 1")
    name = ORDER_OF_CUTOFFS[number]
    return Cutoff(name, 0.0 if name in WITHOUT_INNER_CUTOFF else share)


def _expanded(settings: Settings, elements: tuple[int, ...]) -> Iterator[Line]:
    """Lines of single functions: those of all centers, and of all neighbors of a center, written out."""
    for line in settings.all("global_symfunction_short"):
        number = line.whole(0, "type of the function")
        for center in elements:
            for neighbors in _neighbors(number, elements, line):
                yield Line((symbol(center), str(number), *neighbors, *line.words[1:]), line.place)
    for line in settings.all("element_symfunction_short"):
        number = line.whole(1, "type of the function")
        for neighbors in _neighbors(number, elements, line):
            yield Line((line.words[0], str(number), *neighbors, *line.words[2:]), line.place)
    yield from settings.all("symfunction_short")


def _neighbors(number: int, elements: tuple[int, ...], line: Line) -> list[tuple[str, ...]]:
    """All combinations of elements that a function of this type can name."""
    form = _form(number, line)
    return [tuple(map(symbol, chosen)) for chosen in combinations_with_replacement(elements, form.neighbors)]


def _form(number: int, line: Line) -> Form:
    if number not in FORMS:
        raise ValueError(f"{line.place}: a function of type {number}; expected one of {', '.join(map(str, FORMS))}")
    return FORMS[number]


def _function(line: Line, elements: tuple[int, ...], cutoff: Cutoff, length: float) -> tuple[SymmetryFunction, int]:
    """The function of a line, and its type."""
    number = line.whole(1, "type of the function")
    form = _form(number, line)
    values: dict[str, Any] = {
        "center": line.element(0, elements),
        "neighbors": tuple(line.element(2 + n, elements) for n in range(form.neighbors)),
        "weights": () if form.neighbors else tuple((z, float(z)) for z in elements),
    }
    first = 2 + form.neighbors
    for column, name in enumerate(form.numbers, first):
        if column >= len(line.words) and (number, name) in OPTIONAL:
            values[name] = 0.0
        elif name == "shape":
            values[name] = line.word(column, name)
        else:
            values[name] = line.real(column, name) * length ** LENGTHS.get(name, 0)
    line.nothing_after(first + len(form.numbers))
    if (number, "r_s") in OPTIONAL and values["r_s"] < 0:
        logger.warning(
            "%s: n2p2 passes over the negative r_s of a type %d, and so does this reader", line.place, number
        )
        values["r_s"] = 0.0
    if not issubclass(KINDS[form.kind], CompactFunction):
        values |= {"cutoff_function": cutoff.name, "inner_cutoff": cutoff.share * values["cutoff"]}
    try:
        return function_from_dict({"kind": form.kind, **values}), number
    except ValueError as error:
        raise ValueError(f"{line.place}: {error}") from error
