"""Groups of the reference as the tables that the Triton kernels read."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlip.descriptors.cutoffs import cosine_cutoff, polynomial_cutoff, tanh_cutoff
from mlip.descriptors.functions import Narrow, Radial, Shifted, Wide
from mlip.gpu import names

KINDS = {Radial: names.RADIAL, Narrow: names.NARROW, Wide: names.WIDE, Shifted: names.SHIFTED}
CUTOFFS = {cosine_cutoff: names.COSINE, tanh_cutoff: names.TANH, polynomial_cutoff: names.POLYNOMIAL}
MOST_FUNCTIONS, MOST_ANGLES, MOST_SHELLS = 16, 8, 4  # of one program; more of them are several launches


class Group(NamedTuple):
    """Functions that one launch computes: the kernel's tables (numbers in float64) and its compile-time constants."""

    kind: int
    cutoff: tuple[float, int]  # Å, which cutoff function
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
    cutoff = group.cutoff, CUTOFFS[group.cutoff_function].value
    columns = np.array(group.columns).reshape(group.classes, group.width)
    values = group.values.cpu().double().numpy().T
    if group.kind is not Radial:
        return _angular(group, cutoff, columns, values)
    parts = []
    for first in range(0, group.width, MOST_FUNCTIONS):
        chosen = slice(first, first + MOST_FUNCTIONS)
        count = _power_of_two(len(values[chosen]))
        tables = {
            "scale": _scale(cutoff),
            "values": torch.from_numpy(_padded(values[chosen], count, 0.0).T.copy()),
            "class_of": group.class_of,
            "columns": torch.from_numpy(_padded(columns[:, chosen].T, count, -1).T.copy()),
        }
        parts.append(Group(names.RADIAL.value, cutoff, tables, {"FUNCTIONS": count}))
    return parts


def _angular(group: Any, cutoff: tuple[float, int], columns: np.ndarray, values: np.ndarray) -> list[Group]:
    """Functions as a matrix of few angular and few radial factors; a repeated function gets a shell of its own."""
    distances = 2 if group.kind is Shifted else 1
    _, equal = np.unique(values, axis=0, return_inverse=True)
    repeats = [int((equal.ravel()[:f] == equal.ravel()[f]).sum()) for f in range(len(values))]
    shells, shell_of = np.unique(np.column_stack([repeats, values[:, :distances]]), axis=0, return_inverse=True)
    angles, angle_of = np.unique(values[:, distances:], axis=0, return_inverse=True)
    matrix = np.full((group.classes, len(angles), len(shells)), -1)
    matrix[:, angle_of.ravel(), shell_of.ravel()] = columns
    class_of = group.class_of.cpu()
    combinations = [
        (a, b) for a in range(len(class_of)) for b in range(a, len(class_of)) if (class_of[:, a, b] >= 0).any()
    ]
    parts = []
    for m in range(0, len(angles), MOST_ANGLES):
        for s in range(0, len(shells), MOST_SHELLS):
            part = matrix[:, m : m + MOST_ANGLES, s : s + MOST_SHELLS]
            if (part < 0).all():
                continue
            tables, constants = _factors(group.kind, angles[m : m + MOST_ANGLES], shells[s : s + MOST_SHELLS, 1:])
            padding = constants["ANGLES"] - part.shape[1], constants["SHELLS"] - part.shape[2]
            part = np.pad(part, [(0, 0), (0, padding[0]), (0, padding[1])], constant_values=-1)
            tables |= {
                "scale": _scale(cutoff),
                "class_of": class_of,
                "columns": torch.from_numpy(part),
                "combinations": torch.tensor(combinations),
            }
            parts.append(Group(KINDS[group.kind].value, cutoff, tables, constants))
    return parts


def _factors(kind: type, angles: np.ndarray, shells: np.ndarray) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Numbers of the angular and radial factors: zeta, a, b of base = (1 + a u + b sqrt(1 - u²)) / 2; eta and r_s."""
    zeta, other = angles.T
    a, b = (np.cos(other), np.sin(other)) if kind is Shifted else (other, 0.0 * other)
    whole = bool((zeta == np.round(zeta)).all())
    constants = {
        "BITS": int(zeta.max() - 1).bit_length() if whole else names.REAL.value,
        "ANGLES": _power_of_two(len(angles)),
        "SHELLS": _power_of_two(len(shells)),
    }
    padded = _padded(np.stack([zeta - 1.0, a, b], axis=1), constants["ANGLES"], 0.0)
    r_s = shells[:, 1:] if kind is Shifted else 0.0 * shells
    tables = {
        "angles": torch.from_numpy(padded.T.copy()),
        "shells": torch.from_numpy(_padded(np.hstack([shells[:, :1], r_s]), constants["SHELLS"], 0.0).T.copy()),
    }
    return tables, constants


def _scale(cutoff: tuple[float, int]) -> Tensor:
    return torch.tensor([cutoff[0], math.pi / cutoff[0]], dtype=torch.float64)


def _power_of_two(count: int) -> int:
    return 1 << math.ceil(math.log2(count))


def _padded(rows: np.ndarray, count: int, value: float) -> np.ndarray:
    return np.pad(rows, [(0, count - len(rows)), (0, 0)], constant_values=value)
