"""How the errors of a committee go with the standard deviations over its members."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlip.batch import Properties
from mlip.model.committee import Spread
from mlip.model.evaluate import evaluate
from mlip.model.potential import Calibration, Potential
from mlip.model.uncertainty import spread
from mlip.training.distributed import ALONE, Ranks
from mlip.training.examples import Examples

KINDS = ("energy", "forces")
ONE_DEVIATION = 0.6827  # share of a normal distribution within one standard deviation
MOST_SORTED = 10_000_000  # that torch.quantile takes


class Reliability:
    """Errors and standard deviations of total energies and force components that have labels."""

    def __init__(self) -> None:
        self._errors: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
        self._deviations: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}

    def add(self, predicted: Properties, deviations: Spread, labels: Properties) -> None:
        """Count the structures of a batch."""
        for kind in KINDS:
            value, label, deviation = getattr(predicted, kind), getattr(labels, kind), getattr(deviations, kind)
            if value is not None and label is not None:
                known = torch.isfinite(label)
                self._errors[kind].append((value - label)[known].double().abs().cpu())
                self._deviations[kind].append(deviation[known].double().cpu())

    def merge(self, gathered: Callable[[Any], Sequence[Any]]) -> None:
        """Take in the structures that others counted; `gathered` gives the values of all who count."""
        for values in (self._errors, self._deviations):
            for kind in KINDS:
                values[kind] = [part for parts in gathered(values[kind]) for part in parts]

    def of(self, kind: str) -> tuple[Tensor, Tensor]:
        """Absolute errors and standard deviations of "energy" (eV) or "forces" (eV/Å)."""
        empty = torch.zeros(0, dtype=torch.float64)
        return torch.cat([empty, *self._errors[kind]]), torch.cat([empty, *self._deviations[kind]])

    def factors(self) -> Calibration:
        r"""What to multiply the standard deviations with, so that normal errors of their size are likeliest.

        .. math:: \alpha^2 = \left\langle \frac{(y - \bar y)^2}{\sigma^2} \right\rangle

        1 where nothing has a label or all members agree.

        Source: Musil et al., J. Chem. Theory Comput. 15, 906 (2019), the maximum-likelihood scaling of a committee.
        """
        return self._factors(lambda ratios: ratios.square().mean().sqrt())

    def covering_factors(self) -> Calibration:
        r"""What to multiply the standard deviations with, so that 68 % of errors are within one of them.

        For errors with a few far outliers, such as those of nearly exact fits, which `factors` would follow.
        """
        return self._factors(lambda ratios: torch.quantile(ratios[:MOST_SORTED], ONE_DEVIATION))

    def _factors(self, of: Callable[[Tensor], Tensor]) -> Calibration:
        found = {}
        for kind in KINDS:
            errors, deviations = self.of(kind)
            ratios = (errors / deviations)[deviations > 0]
            found[kind] = float(of(ratios)) if len(ratios) else 1.0
        return Calibration(**found)

    def results(self) -> dict[str, float]:
        r"""Mean standard deviations, shares of errors within one and two of them, and the miscalibration.

        That is the mean over p from 0 to 1 of how far p is from the share of errors inside the central interval that
        holds the share p of a normal distribution. 68 % and 95 % within, and no miscalibration, would be perfect.

        Source: Tran et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020), the miscalibration area.
        """
        results: dict[str, float] = {}
        for kind in KINDS:
            errors, deviations = self.of(kind)
            if len(errors):
                results[f"{kind}_std_mean"] = float(deviations.mean())
                for count in (1, 2):
                    results[f"{kind}_within_{count}_std"] = float((errors <= count * deviations).double().mean())
                results[f"{kind}_miscalibration"] = _miscalibration(errors, deviations)
        return results


def reliability_of(potential: Potential, examples: Examples, ranks: Ranks = ALONE) -> Reliability:
    """That of a potential on labelled structures, which the `ranks` share; all have the same result.

    Structures that are too large for its standard deviations are left out.
    """
    found = Reliability()
    chosen = ranks.share(range(len(examples)), examples.costs)
    if potential.members == 1:
        sizes = np.diff(examples.atoms.atom_start).tolist()
        chosen = [n for n in chosen if potential.deviates_for(sizes[n])]
    for chunk in examples.chunks(chosen):
        batch, labels, features = examples.take(chunk)
        predicted = evaluate(potential, batch, stress=False, features=features, pair_terms=False)
        found.add(predicted, spread(potential, batch, features=features), labels)
    found.merge(ranks.gathered)
    return found


def _miscalibration(errors: Tensor, deviations: Tensor) -> float:
    """Area between the observed shares and the expected ones."""
    ratios = torch.where(deviations > 0, errors / deviations, torch.where(errors > 0, math.inf, 0.0))
    expected = torch.erf(ratios / math.sqrt(2)).sort().values  # smallest p whose interval holds each error
    steps = torch.arange(len(expected) + 1, dtype=torch.float64) / len(expected)
    edges = torch.cat([torch.zeros(1, dtype=torch.float64), expected, torch.ones(1, dtype=torch.float64)])
    # Between two edges the observed share is a step and the expected one a line; the area between is in two triangles.
    low, high = edges[:-1], edges[1:]
    inside = ((steps > low) & (steps < high)).double()
    apart = ((low + high) / 2 - steps).abs() * (high - low)
    split = ((steps - low).square() + (high - steps).square()) / 2
    return float((inside * split + (1 - inside) * apart).sum())
