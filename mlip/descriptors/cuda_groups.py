"""Groups of the reference as the tables that the Triton kernels read."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS, NORMALIZATION
from mlip.descriptors.factors import angular_numbers, classes, radial_numbers
from mlip.descriptors.functions import KINDS, AxilrodTeller, Chebyshev, Narrow, Shifted, ShiftedAxilrodTeller, Wide
from mlip.gpu import names

NUMBER_OF = {kind: getattr(names, name.upper()).value for name, kind in KINDS.items() if hasattr(names, name.upper())}
CUTOFFS = {name: getattr(names, name.upper()).value for name in CUTOFF_FUNCTIONS}
MOST_FUNCTIONS, MOST_ANGLES, MOST_SHELLS = 16, 8, 4  # of one program; more of them are several launches


Part = tuple[dict[str, Tensor], dict[str, int]]  # tables and constants


class Group(NamedTuple):
    """Functions that one launch computes: the kernel's tables (numbers in float64) and its compile-time constants."""

    kind: int
    sphere: tuple[float, int, float, tuple[float, ...] | None]  # cutoff, its function, inner cutoff, elements' weights
    tables: dict[str, Tensor]
    constants: dict[str, int]

    def to(self, device: torch.device, dtype: torch.dtype) -> Group:
        """The same group on a device, its numbers in the precision of the arithmetic."""
        tables = {
            name: table.to(device, dtype if table.is_floating_point() else torch.int32)
            for name, table in self.tables.items()
        }
        return self._replace(tables=tables)


def groups_of(group: Any) -> list[Group]:
    """A group of the reference, cut into parts that fit into a program."""
    weights = None if group.weights is None else tuple(group.weights)
    sphere = group.cutoff, CUTOFFS[group.cutoff_name], group.inner_cutoff, weights
    columns = np.array(group.columns).reshape(group.classes, group.width)
    common = {"class_of": torch.from_numpy(classes(group).copy())}
    if weights is not None:
        common["weights"] = torch.tensor(weights, dtype=torch.float64)
    parts = _radial(group, columns) if group.kind.order == 1 else _angular(group, columns)
    kind = NUMBER_OF[group.kind]
    return [Group(kind, sphere, {**common, **tables}, constants) for tables, constants in parts]


def _radial(group: Any, columns: np.ndarray) -> list[Part]:
    """Tables and constants of each part."""
    values, parts = radial_numbers(group), []
    for first in range(0, group.width, MOST_FUNCTIONS):
        chosen = slice(first, first + MOST_FUNCTIONS)
        count = _power_of_two(len(values[chosen]))
        tables = {
            "scale": _scale(group),
            "values": torch.from_numpy(_padded(values[chosen], count, 0.0).T.copy()),
            "columns": torch.from_numpy(_padded(columns[:, chosen].T, count, -1).T.copy()),
        }
        parts.append((tables, {"FUNCTIONS": count}))
    return parts


def _angular(group: Any, columns: np.ndarray) -> list[Part]:
    """Functions as a matrix of few angular and few radial factors; a repeated function gets a shell of its own."""
    of_distances, of_angles = angular_numbers(group)
    _, equal = np.unique(np.hstack([of_distances, of_angles]), axis=0, return_inverse=True)
    repeats = [int((equal.ravel()[:f] == equal.ravel()[f]).sum()) for f in range(group.width)]
    shells, shell_of = np.unique(
        np.column_stack([of_distances[:, 2], repeats, of_distances[:, :2]]), axis=0, return_inverse=True
    )
    angles, angle_of = np.unique(of_angles, axis=0, return_inverse=True)
    matrix = np.full((group.classes, len(angles), len(shells)), -1)
    matrix[:, angle_of.ravel(), shell_of.ravel()] = columns
    class_of = classes(group)
    known = range(class_of.shape[1])
    combinations = [(a, b) for a, b in combinations_with_replacement(known, 2) if (class_of[:, a, b] >= 0).any()]
    parts = []
    for m in range(0, len(angles), MOST_ANGLES):
        for common in np.unique(shells[:, 0]):  # one for all functions of a launch
            alike = np.flatnonzero(shells[:, 0] == common)
            for s in range(0, len(alike), MOST_SHELLS):
                chosen = alike[s : s + MOST_SHELLS]
                part = matrix[:, m : m + MOST_ANGLES, chosen]
                if (part < 0).all():
                    continue
                tables, constants = _factors(group.kind, angles[m : m + MOST_ANGLES], shells[chosen, 2:])
                padding = constants["ANGLES"] - part.shape[1], constants["SHELLS"] - part.shape[2]
                part = np.pad(part, [(0, 0), (0, padding[0]), (0, padding[1])], constant_values=-1)
                tables |= {
                    "scale": _scale(group, common),
                    "columns": torch.from_numpy(np.ascontiguousarray(part)),
                    "combinations": torch.tensor(combinations),
                }
                constants["MOVED"] = int(group.kind in (Narrow, Wide) and common != 0)
                parts.append((tables, constants))
    return parts


def _factors(kind: type, angles: np.ndarray, shells: np.ndarray) -> Part:
    """Numbers of the angular and radial factors: zeta, a, b of base = (1 + a u + b sqrt(1 - u²)) / 2; eta and r_s.

    Or the degrees of polynomials, in place of zeta - 1.
    """
    first, other = angles.T
    constants = {"ANGLES": _power_of_two(len(angles)), "SHELLS": _power_of_two(len(shells))}
    if kind in (Chebyshev, AxilrodTeller):
        numbers, constants["BITS"] = np.stack([first, other, other], axis=1), int(first.max())
    else:
        turned = kind in (Shifted, ShiftedAxilrodTeller)
        a, b = (np.cos(other), np.sin(other)) if turned else (other, 0.0 * other)
        numbers = np.stack([first - 1.0, a, b], axis=1)
        whole = bool((first == np.round(first)).all())
        constants["BITS"] = int(first.max() - 1).bit_length() if whole else names.REAL.value
    tables = {
        "angles": torch.from_numpy(_padded(numbers, constants["ANGLES"], 0.0).T.copy()),
        "shells": torch.from_numpy(_padded(shells, constants["SHELLS"], 0.0).T.copy()),
    }
    return tables, constants


def _scale(group: Any, common: float = 0.0) -> Tensor:
    """What the cutoff function needs, and the number that the functions of a launch have in common: power or r_s."""
    cutoff, inner = group.cutoff, group.inner_cutoff
    height = NORMALIZATION if group.cutoff_name == "tanh_normalized" else 1.0
    return torch.tensor([cutoff, math.pi / (cutoff - inner), common, inner, height], dtype=torch.float64)


def _power_of_two(count: int) -> int:
    return 1 << math.ceil(math.log2(count))


def _padded(rows: np.ndarray, count: int, value: float) -> np.ndarray:
    return np.pad(rows, [(0, count - len(rows)), (0, 0)], constant_values=value)
