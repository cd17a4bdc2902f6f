"""Fits a pair potential to energies, forces and stress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import least_squares
from torch import Tensor

from mlip.elements import covalent_radius
from mlip.pair.families import FAMILIES, LEAST, Family, Place, place_of
from mlip.pair.forms import FORMS, Form, Spline
from mlip.pair.linear import bounded_least_squares, fitted_spline
from mlip.pair.potential import PairPotential, pair_name, pairs_of
from mlip.pair.rows import LabelRows
from mlip.structure import Structure

STARTS = 2  # of the trials, those that fit best, go on to the nonlinear fit
MOST_STEPS = 300
EVEN_WEIGHTS = {"energy": 1.0, "forces": 1.0, "stress": 1.0}


def fitted_pair_potential(
    structures: Sequence[Structure],
    elements: Sequence[int],
    form: str,
    *,
    cutoff: float,
    inner: float,
    knots: int = 20,
    smoothing: float = 1e-6,
    given: Mapping[str, Mapping[str, float]] | None = None,
    references: Sequence[float] | None = None,
    weights: Mapping[str, float] = EVEN_WEIGHTS,
) -> PairPotential:
    """The pair potential of a form that describes labelled structures best by (weighted) least squares.

    What enters linearly is found by linear least squares with bounds; from the best of a few trials of the rest all are
    improved together (a trust region method with bounds). The bounds keep every curve repulsive at short distances.

    Args:
        structures: with energies (eV), forces (eV/Å) or stress (eV/Å³).
        elements: atomic numbers, ascending.
        form: a name in `mlip.pair.forms.FORMS`.
        cutoff: where all curves end (Å).
        inner: from where they are led to zero (Å).
        knots: intervals of a spline.
        smoothing: weight of a spline's squared curvature.
        given: parameters by pair of elements, such as Al-Cu, that are taken as they are.
        references: reference energies (eV) by element; None: they are fitted as well.
        weights: of energies per atom, forces and stress, each in units of its own mean square.

    Raises:
        ValueError: no structure has a label, or a parameter is given for a pair that is not there.
    """
    pairs, made = pairs_of(elements), FORMS[form]
    names = [pair_name(pair) for pair in pairs]
    known = _given_rows(given or {}, names, form)
    if len(known) == len(pairs):
        return PairPotential(elements, form, cutoff, inner, [known[name] for name in names])
    rows = LabelRows(structures, elements, inner, cutoff, references, weights)
    if not len(rows.target):
        raise ValueError("no structure has an energy, forces or stress that a pair potential could be fitted to")
    size = torch.tensor([covalent_radius(a) + covalent_radius(b) for a, b in pairs], dtype=torch.float64)
    place = place_of(pairs, size, rows.nearest(), cutoff)
    if isinstance(made, Spline):
        table = fitted_spline(rows, place, knots, smoothing)
        return PairPotential(elements, form, cutoff, inner, table.tolist())
    fixed = {number: known[name] for number, name in enumerate(names) if name in known}
    table = _Curves(made, FAMILIES[form], rows, place, fixed).fitted()
    return PairPotential(elements, form, cutoff, inner, table.tolist())


def _given_rows(given: Mapping[str, Mapping[str, float]], names: Sequence[str], form: str) -> dict[str, list[float]]:
    """The rows of parameters that are given, by the name of the pair of elements in order."""
    known = {}
    for name, values in given.items():
        ordered = next((one for one in names if sorted(one.split("-")) == sorted(name.split("-"))), None)
        if ordered is None:
            raise ValueError(f"parameters are given for {name}; the data hold the pairs {', '.join(names)}")
        wanted = FORMS[form].units
        if set(values) != set(wanted) or not wanted:
            raise ValueError(
                f"parameters of {name} are {', '.join(values)}; a {form} curve takes "
                f"{', '.join(wanted) or 'none, it is always fitted'}"
            )
        known[ordered] = [values[one] for one in wanted]
    return known


class _Curves:
    """The fit of a form with few parameters."""

    def __init__(
        self, form: Form, family: Family, rows: LabelRows, place: Place, fixed: Mapping[int, list[float]]
    ) -> None:
        self.form, self.family, self.rows, self.place = form, family, rows, place
        self.free = torch.tensor([kind not in fixed for kind in range(rows.kinds)])
        self.known = torch.ones(rows.kinds, len(form.units), dtype=torch.float64)
        for kind, row in fixed.items():
            self.known[kind] = torch.tensor(row, dtype=torch.float64)
        self.low, self.high = (torch.stack(bound, dim=1) for bound in family.bounds(place))

    def fitted(self) -> Float[Tensor, "T K"]:
        """The table of the best fit."""
        starts = [self._start(trial) for trial in self.family.trials]
        if self.family.linear:
            return self._table(starts[0])
        starts.sort(key=lambda start: self._cost(start))
        return self._table(min((self._improved(start) for start in starts[:STARTS]), key=self._cost))

    def _table(self, coordinates: Float[Tensor, "T Q"]) -> Float[Tensor, "T K"]:
        made = self.family.row(coordinates.unbind(dim=1), self.place)
        return torch.where(self.free[:, None], made, self.known)

    def _curve(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        return self.form.curve(self.rows.distances, self._table(coordinates), self.rows.kind)

    def _residuals(self, coordinates: Float[Tensor, "T Q"]) -> Float[np.ndarray, "M"]:
        energies, slopes = self._curve(coordinates)
        residuals: np.ndarray = self.rows.columns(energies[None], slopes[None]).sum(axis=1) - self.rows.target
        return residuals

    def _cost(self, coordinates: Tensor) -> float:
        return float(np.square(self._residuals(coordinates)).sum())

    def _start(self, trial: float) -> Float[Tensor, "T Q"]:
        """Coordinates for a trial of what does not enter linearly, the rest by bounded linear least squares."""
        rays = self.family.rays(trial, self.place)
        strengths = torch.ones(len(rays), self.rows.kinds, dtype=torch.float64)
        if rays:
            curves = [self._curve(torch.stack(ray, dim=1)) for ray in rays]
            energies, slopes = (torch.stack(values) for values in zip(*curves, strict=True))
            columns, free = self.rows.columns(energies, slopes), self.free.numpy()
            fixed = columns[:, : self.rows.kinds][:, ~free].sum(axis=1)  # the same curves for every ray
            low = np.concatenate([np.full(free.sum(), LEAST), np.zeros((len(rays) - 1) * free.sum())])
            found = bounded_least_squares(columns[:, np.tile(free, len(rays))], self.rows.target - fixed, low)
            strengths[:, self.free] = torch.from_numpy(found).view(len(rays), -1)
        return torch.stack(self.family.sum_of(strengths, trial, self.place), dim=1)

    def _improved(self, start: Float[Tensor, "T Q"]) -> Float[Tensor, "T Q"]:
        """The nearest minimum in all coordinates of the pairs that are not given."""
        low, high = self.low[self.free].flatten().numpy(), self.high[self.free].flatten().numpy()
        margin = 1e-6 * np.where(np.isfinite(high), high - low, np.abs(low) + 1)
        first = np.clip(start[self.free].flatten().numpy(), low + margin, high - margin)

        def whole(values: np.ndarray) -> Tensor:
            return start.index_put((self.free,), torch.from_numpy(values).view(-1, start.shape[1]))

        def slopes(values: np.ndarray) -> np.ndarray:
            moved = torch.eye(start.shape[1], dtype=torch.float64)[:, None, :].expand(-1, *start.shape)
            at = whole(values)
            by_each = [torch.func.jvp(self._curve, (at,), (move.contiguous(),))[1] for move in moved]
            energies, forces = (torch.stack(parts) for parts in zip(*by_each, strict=True))
            columns = self.rows.columns(energies, forces).reshape(-1, start.shape[1], self.rows.kinds)
            chosen: np.ndarray = columns[:, :, self.free.numpy()].swapaxes(1, 2).reshape(len(columns), -1)
            return chosen

        found = least_squares(
            lambda values: self._residuals(whole(values)), first, slopes, (low, high), x_scale="jac",
            ftol=1e-12, xtol=1e-12, gtol=1e-15, max_nfev=MOST_STEPS,
        )  # fmt: skip
        return whole(found.x)
