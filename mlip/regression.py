"""From a prepared run to a potential of a kind that is solved for at once, without epochs."""

from __future__ import annotations

from mlip.assembly import repulsion_of
from mlip.model.atomic import NoModel
from mlip.model.potential import Potential
from mlip.model.scaling import FeatureScaling
from mlip.preparation import Preparation


def solved_potential(ready: Preparation) -> Potential:
    """The potential of model.kind pair: reference energies and what pairs of atoms have, fitted in the preparation."""
    return Potential(
        ready.descriptor,
        FeatureScaling(len(ready.descriptor.elements), 0),
        NoModel(),
        ready.references,
        anchored=True,
        repulsion=repulsion_of(ready.config, ready.descriptor),
        baseline=ready.baseline,
    ).to(ready.device)
