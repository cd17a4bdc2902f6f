"""A report of a run: everything it shows, drawn once, for a page and for papers."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mlip.preparation import PARTS
from mlip.report.cautions import cautions
from mlip.report.environment_figures import calibration, environment_maps, nearest_distances
from mlip.report.figures import (
    errors_by_element,
    errors_by_group,
    errors_by_size,
    labels_and_sizes,
    parity,
    training_curves,
)
from mlip.report.findings import Part, look_at
from mlip.report.run_folder import RunFolder, open_run
from mlip.report.style import Drawing
from mlip.report.worst import worst_shown

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What is known of a run. `judged` is the set whose errors count: test, else validation, else training."""

    run: RunFolder
    parts: dict[str, Part]
    judged: Part | None
    warnings: list[str]
    worst: list[dict[str, Any]]
    drawings: dict[str, list[Drawing]] = field(default_factory=dict)  # by section of the page

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights the potential has."""
        found = self.run.results.get("best_epoch", self.run.provenance.get("best_epoch"))
        return int(found) if found else None

    def errors(self, part: str) -> dict[str, Any]:
        """Errors of a whole set, as the run's end wrote them; before that those of the structures looked at."""
        found = self.run.results.get(part)
        if isinstance(found, dict):
            return found
        return self.parts[part].results["all"] if part in self.parts else {}


def make_report(
    folder: Path, device: torch.device, dtype: torch.dtype | None = None, *, most: int = 2000, worst: int = 20,
    quiet: bool = True,
) -> Report:  # fmt: skip
    """Look at a run: evaluate at most so many structures of each set, find the worst, and draw all figures.

    Raises:
        ValueError: the folder holds no trained run.
    """
    run = open_run(folder, device, dtype)
    parts: dict[str, Part] = {}
    for name in PARTS if run.parts is not None else ():
        structures = getattr(run.parts, name)
        if structures:
            logger.info("%s: %d structures, %d of them looked at", name, len(structures), min(len(structures), most))
            parts[name] = look_at(run.potential, name, structures, most, quiet)
    judged = next((parts[name] for name in ("test", "valid", "train") if name in parts), None)
    report = Report(
        run, parts, judged, cautions(run, parts, judged), [] if judged is None else worst_shown(judged, worst)
    )
    report.drawings["training"] = training_curves(run.metrics, report.best_epoch)
    if judged is not None:
        every, train = list(parts.values()), parts["train"]
        report.drawings.update(
            {
                "data": labels_and_sizes(every),
                "errors": parity(every, judged),
                "groups": errors_by_element(judged) + errors_by_group(judged) + errors_by_size(judged),
                "calibration": calibration(every),
                "distances": nearest_distances(train, judged),
                "environments": environment_maps(train, judged) if run.potential.descriptor.functions else [],
            }
        )
    return report
