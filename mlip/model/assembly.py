"""Covariances of what is known of structures: with each other, and with inducing environments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mlip.model.coordinates import half_squares
from mlip.model.covariance import Covariance

COLUMNS = 8  # structures that the others are compared with at a time; their changes stay in the cache
ENTRIES = 200_000  # of a table that is held at once, so that it stays in the cache
SOME_POINTS = 256  # inducing environments that are compared with together where memory allows


class Sites(NamedTuple):
    """The atoms of S structures that have the same number of atoms of each element."""

    points: list[Tensor]  # (S,n_e,C_e) for each element
    changes: list[Tensor]  # (S,n_e,K,C_e), along K motions of each structure
    energy: bool  # whether energies count besides derivatives along motions

    @property
    def structures(self) -> int:
        """How many structures there are."""
        return len(self.points[0])

    @property
    def labels(self) -> int:
        """How many numbers of each structure have covariances: derivatives along K motions, and the energy first."""
        return self.changes[0].shape[2] + int(self.energy)

    def part(self, rows: slice) -> Sites:
        """Some of the structures."""
        points, changes = ([table[rows] for table in tables] for tables in (self.points, self.changes))
        return Sites(points, changes, self.energy)


def covariances(
    covariance: Covariance, families: Sequence[Sites], step: Callable[[int], object] = lambda done: None
) -> Float[Tensor, "L L"]:
    r"""Covariances of all labels of all structures with each other; what is above the diagonal is not computed.

    With the atoms i of one structure, j of another, the changes J along motions, q, d, f as in `Covariance`:

    .. math:: \operatorname{cov}(E, E') = \sum_{ij} f, \qquad
              \operatorname{cov}(\partial_a E, E') = \sum_{ij} f' J_{ia} \cdot d, \qquad
              \operatorname{cov}(\partial_a E, \partial_b E') = -\sum_{ij} \left[ f' J_{ia} \cdot J_{jb}
              + f'' (J_{ia} \cdot d)(J_{jb} \cdot d) \right]

    `step` is told how many structures are done.
    """
    sizes = [family.labels for family in families for _ in range(family.structures)]
    ends = torch.tensor([0, *sizes]).cumsum(0).tolist()
    found = torch.empty(ends[-1], ends[-1], dtype=torch.float64)
    firsts = torch.tensor([0, *(family.structures for family in families)]).cumsum(0).tolist()

    def compare(number: int, first: int) -> int:
        """All structures from `first` of a family on with a few columns."""
        family = families[number]
        last = min(first + COLUMNS, family.structures)
        columns = Columns(family.part(slice(first, last)))
        begin, end = ends[firsts[number] + first], ends[firsts[number] + last]
        for other in range(number, len(families)):
            for row in range(first if other == number else 0, families[other].structures):
                place = firsts[other] + row
                block = columns.with_structure(covariance, families[other], row)
                found[ends[place] : ends[place + 1], begin:end] = block
        return last - first

    work = [(n, first) for n, family in enumerate(families) for first in range(0, family.structures, COLUMNS)]
    for done in _in_threads(compare, work):
        step(done)
    return found


class Columns:
    """A few structures of a family, laid out for products with one structure after the other."""

    def __init__(self, family: Sites) -> None:
        self.sites, count = family, family.structures
        self.points = [points.reshape(-1, points.shape[-1]) for points in family.points]
        # (S,K,n,C), so that the sum over atoms and coordinates is one product for all structures and motions
        self.changes = [changes.transpose(1, 2).contiguous() for changes in family.changes]
        self.own = [torch.einsum("sknc,snc->skn", j, u) for j, u in zip(self.changes, family.points, strict=True)]
        self.count, self.motions = count, family.changes[0].shape[2]

    def with_structure(self, covariance: Covariance, family: Sites, row: int) -> Float[Tensor, "L M"]:
        """Covariances of the labels of one structure with those of these."""
        motions, count = family.changes[0].shape[2], self.count
        block = torch.zeros(1 + motions, count, 1 + self.motions, dtype=torch.float64)
        for u, j, points, changes, own in zip(
            family.points, family.changes, self.points, self.changes, self.own, strict=True
        ):
            mine, theirs, width = u.shape[1], changes.shape[2], u.shape[2]
            if not mine or not theirs:
                continue
            value, slope, curvature = covariance(half_squares(u[row], points))
            along = (torch.einsum("ikc,ic->ik", j[row], u[row])[:, :, None] - j[row] @ points.T).view(
                mine, motions, count, theirs
            )
            back = (u[row] @ changes.view(-1, width).T).view(mine, count, self.motions, theirs) - own
            by_pair = slope.view(mine, count, theirs)
            block[0, :, 0] += value.view(mine, count, theirs).sum(dim=(0, 2))
            block[1:, :, 0] += torch.einsum("itj,iktj->kt", by_pair, along)
            block[0, :, 1:] -= torch.einsum("itj,itkj->tk", by_pair, back)
            if motions and self.motions:
                weights = by_pair.transpose(0, 1)[:, None].expand(-1, self.motions, -1, -1)
                mixed = torch.bmm(weights.reshape(-1, mine, theirs), changes.view(-1, theirs, width)).view(
                    count * self.motions, mine * width
                )
                block[1:, :, 1:] -= (j[row].transpose(0, 1).reshape(motions, -1) @ mixed.T).view(
                    motions, count, self.motions
                )
                curved = along * curvature.view(mine, 1, count, theirs)
                left = curved.permute(2, 1, 0, 3).reshape(count, motions, -1)
                right = back.permute(1, 0, 3, 2).reshape(count, -1, self.motions)
                block[1:, :, 1:] -= torch.bmm(left, right).transpose(0, 1)
        rows, columns = slice(int(not family.energy), None), slice(int(not self.sites.energy), None)
        return block[rows, :, columns].reshape(family.labels, count * self.sites.labels)


def covariances_with_points(
    covariance: Covariance,
    families: Sequence[Sites],
    points: Sequence[Float[Tensor, "_ _"]],
    step: Callable[[int], object] = lambda done: None,
) -> Float[Tensor, "L M"]:
    r"""Covariances of all labels with inducing environments of each element, of which there are M together.

    .. math:: \operatorname{cov}(E, m) = \sum_i f(q_{im}), \qquad
              \operatorname{cov}(\partial_a E, m) = \sum_i f'(q_{im})\, J_{ia} \cdot (u_i - u_m)
    """
    places = torch.tensor([0, *map(len, points)]).cumsum(0).tolist()
    labels = sum(family.structures * family.labels for family in families)
    found = torch.empty(labels, places[-1], dtype=torch.float64)
    begin = 0
    for family in families:
        each = max(1, max(u.shape[1] for u in family.points) * (1 + family.changes[0].shape[2]))
        at_once = max(1, ENTRIES // (each * SOME_POINTS))
        for first in range(0, family.structures, at_once):
            part = family.part(slice(first, first + at_once))
            rows = found[begin : begin + part.structures * part.labels].view(part.structures, part.labels, places[-1])
            some = max(1, ENTRIES // (each * part.structures))
            for e, inducing in enumerate(points):
                for begun in range(0, len(inducing), some):
                    chosen = inducing[begun : begun + some]
                    place = places[e] + begun
                    rows[:, :, place : place + len(chosen)] = _with_points(covariance, part, e, chosen)
            begin += part.structures * part.labels
            step(part.structures)
    return found


def _with_points(
    covariance: Covariance, family: Sites, element: int, points: Float[Tensor, "m C"]
) -> Float[Tensor, "S L m"]:
    u, j = family.points[element], family.changes[element]
    count, atoms, motions, width = j.shape
    if not atoms:
        return j.new_zeros(count, family.labels, len(points))
    value, slope, _ = covariance(half_squares(u.reshape(-1, width), points))
    by_energy = value.view(count, atoms, len(points)).sum(dim=1, keepdim=True)
    along = torch.einsum("snkc,snc->snk", j, u)[..., None] - (j.reshape(-1, width) @ points.T).view(
        count, atoms, motions, len(points)
    )
    by_motion = torch.einsum("snm,snkm->skm", slope.view(count, atoms, len(points)), along)
    return torch.cat([by_energy, by_motion], dim=1) if family.energy else by_motion


def _in_threads(work: Callable[..., int], tasks: Sequence[tuple[int, ...]]) -> Iterator[int]:
    """What the work makes of each task, in as many threads as torch has, each with the products of its own."""
    with _one_thread() as threads, ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda task: work(*task), tasks)


@contextmanager
def _one_thread() -> Iterator[int]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
