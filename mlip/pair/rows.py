"""Labels of structures as rows of least squares, and what the curve of each pair of elements adds to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mlip.batch import collate, collate_labels, index_of_number, pair_vectors, to_batch
from mlip.pair.potential import kind_table, switched
from mlip.structure import Structure

MOST_ATOMS = 10_000  # of the structures that are fitted to: some hundred numbers need no more


class LabelRows:
    r"""Rows for energies per atom, force components and stress components of some structures.

    Each row is divided by the root mean square of its kind of label, and by the square root of the number of its kind
    times its weight, so that the sum of squares of the targets is the sum of the weights. Reference energies that are
    to be fitted as well are projected out of the energies' rows: least squares in the other unknowns is then the same
    as in all.

    Args:
        structures: with labels; evenly spaced ones are taken where they have more than `MOST_ATOMS` atoms.
        elements: atomic numbers, ascending.
        inner, cutoff: from where to where curves are led to zero (Å).
        references: reference energies (eV) by element; None: they are fitted as well.
        weights: of the kinds of labels energy, forces, stress.
    """

    def __init__(
        self,
        structures: Sequence[Structure],
        elements: Sequence[int],
        inner: float,
        cutoff: float,
        references: Sequence[float] | None,
        weights: Mapping[str, float],
    ) -> None:
        made = [to_batch(structure, cutoff) for structure in evenly(structures)]
        batch = collate([atoms for atoms, _ in made])
        labels = collate_labels([label for _, label in made])
        assert labels.forces is not None and labels.stress is not None
        vectors = pair_vectors(batch)
        self.inner, self.cutoff, self.kinds = inner, cutoff, len(elements) * (len(elements) + 1) // 2
        index = index_of_number(elements)
        element = index[batch.numbers]
        self.distances = vectors.norm(dim=1)
        self.kind = kind_table(len(elements))[element[batch.pairs[0]], element[batch.pairs[1]]]
        self._vectors, self._center, self._structure = vectors, batch.pairs[0], batch.structure
        counts = torch.zeros(len(made), len(elements), dtype=torch.float64)
        counts.index_put_((batch.structure, element), torch.ones(1, dtype=torch.float64), accumulate=True)
        self._sizes = counts.sum(dim=1)
        self._volume = torch.linalg.det(batch.cell).abs()
        energies = labels.energy if references is None else labels.energy - counts @ torch.tensor(references).double()
        self._known = [values.isfinite().flatten() for values in (energies, labels.forces, labels.stress)]
        self._removed = _orthonormal((counts / self._sizes[:, None])[self._known[0]]) if references is None else None
        per_atom = self._without_references((energies / self._sizes)[self._known[0], None])[:, 0]
        rows = [
            per_atom,
            *(v.flatten()[k] for v, k in zip((labels.forces, labels.stress), self._known[1:], strict=True)),
        ]
        self.sizes = {name: _size(values) for name, values in zip(("energy", "forces", "stress"), rows, strict=True)}
        self._factors = [
            float(weights[name]) ** 0.5 / (self.sizes[name] * max(1, len(values)) ** 0.5)
            for name, values in zip(self.sizes, rows, strict=True)
        ]
        self.target = torch.cat([f * values for f, values in zip(self._factors, rows, strict=True)]).numpy()

    def nearest(self) -> Float[Tensor, "T"]:
        """The smallest distance of each pair of elements (Å), infinite for one that does not meet."""
        found = torch.full((self.kinds,), torch.inf, dtype=torch.float64)
        return found.scatter_reduce(0, self.kind, self.distances, "amin")

    def columns(self, energies: Float[Tensor, "C P"], slopes: Float[Tensor, "C P"]) -> Float[np.ndarray, "M CT"]:
        """What C curves of each of T pairs of elements add to the rows, from their energies and slopes at each pair.

        The columns of the first curve come first, one for each pair of elements.
        """
        values, slopes = switched(self.distances, energies, slopes, self.inner, self.cutoff)
        made = [self._rows_of(value, slope) for value, slope in zip(values, slopes, strict=True)]
        return torch.cat(made, dim=1).numpy()

    def _rows_of(self, value: Tensor, slope: Tensor) -> Tensor:
        kinds, atoms, structures = self.kinds, len(self._structure), len(self._sizes)
        of_structure = self._structure[self._center] * kinds + self.kind
        pull = (slope / self.distances)[:, None] * self._vectors
        energy = value.new_zeros(structures * kinds).index_add(0, of_structure, 0.5 * value)
        forces = value.new_zeros(atoms * kinds, 3).index_add(0, self._center * kinds + self.kind, pull)
        products = (0.5 * pull[:, :, None] * self._vectors[:, None, :]).flatten(1)
        virial = value.new_zeros(structures * kinds, 9).index_add(0, of_structure, products)
        volume = torch.where(self._volume > 0, self._volume, 1.0)
        tables = (
            energy.view(structures, kinds) / self._sizes[:, None],
            forces.view(atoms, kinds, 3).mT.reshape(3 * atoms, kinds),
            (virial.view(structures, kinds, 9) / volume[:, None, None]).mT.reshape(9 * structures, kinds),
        )
        energy, forces, stress = (table[known] for table, known in zip(tables, self._known, strict=True))
        parts = (self._without_references(energy), forces, stress)
        return torch.cat([factor * part for factor, part in zip(self._factors, parts, strict=True)])

    def _without_references(self, rows: Tensor) -> Tensor:
        """Rows of energies less their share of what reference energies can make."""
        return rows if self._removed is None else rows - self._removed @ (self._removed.T @ rows)


def evenly(structures: Sequence[Structure]) -> list[Structure]:
    """The structures, or as many evenly spaced ones as have about `MOST_ATOMS` atoms together."""
    atoms = sum(len(structure) for structure in structures)
    count = max(1, min(len(structures), int(len(structures) * MOST_ATOMS / max(1, atoms))))
    return [structures[i] for i in np.linspace(0, len(structures) - 1, count).round().astype(int).tolist()]


def _size(values: Tensor) -> float:
    """Root mean square; one where there is nothing to compare with."""
    size = float(values.square().mean().sqrt()) if len(values) else 0.0
    return size if size > 1e-12 else 1.0


def _orthonormal(rows: Tensor) -> Tensor:
    """An orthonormal basis of the columns."""
    left, sizes, _ = torch.linalg.svd(rows, full_matrices=False)
    return left[:, sizes > 1e-10 * sizes.max()] if len(sizes) and len(rows) else left
