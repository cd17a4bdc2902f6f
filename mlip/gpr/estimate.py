"""What a fit will cost, known before it is paid."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import torch

NUMBER = 8  # bytes of a float64


class Size(NamedTuple):
    """What decides the cost: labels, atoms, motions of a structure, coordinates of an atom; inducing environments."""

    labels: int
    structures: int
    atoms: int
    coordinates: int
    points: int = 0

    @property
    def changes(self) -> int:
        """Numbers in the changes of all atoms along all motions."""
        return round(self.atoms * self.coordinates * max(1.0, self.labels / self.structures - 1))


class Cost(NamedTuple):
    """Memory and arithmetic."""

    bytes: int
    operations: float

    def seconds(self, speed: float) -> float:
        """Time at so many operations per second."""
        return self.operations / speed


def cost_of_full(size: Size) -> Cost:
    """That of the exact process: a matrix of all labels, its assembly and its Cholesky factor."""
    each = size.atoms / size.structures
    labels = size.labels / size.structures
    pair = size.coordinates * labels * (2 * each * each + 4 * each * labels)
    assembly = 0.5 * size.structures**2 * pair
    return Cost(NUMBER * (size.labels**2 + 2 * size.changes), assembly + size.labels**3 / 3)


def cost_of_sparse(size: Size) -> Cost:
    """That of M inducing environments: a matrix of labels and these, with copies for its QR factors."""
    rows = size.labels + size.points
    assembly = 2.0 * size.changes * size.points
    return Cost(
        NUMBER * (4 * rows * size.points + 2 * size.changes),
        assembly + 2 * size.points**2 * (rows - size.points / 3),
    )


def largest_labels(size: Size, limit: float) -> int:
    """Labels of structures like these whose exact process takes `limit` bytes."""
    beside = 2 * size.changes / size.labels
    return int(-0.5 * beside + math.sqrt(0.25 * beside**2 + limit / NUMBER))


def largest_points(size: Size, limit: float) -> int:
    """Inducing environments with which the sparse process takes `limit` bytes."""
    free = limit / NUMBER - 2 * size.changes
    return max(0, int(-0.5 * size.labels + math.sqrt(max(0.0, 0.25 * size.labels**2 + free / 4))))


def speed() -> float:
    """Operations per second in a product of float64 matrices, measured now."""
    matrix = torch.rand(768, 768, dtype=torch.float64)
    matrix @ matrix
    began = time.perf_counter()
    for _ in range(3):
        matrix @ matrix
    return 3 * 2 * 768**3 / (time.perf_counter() - began)
