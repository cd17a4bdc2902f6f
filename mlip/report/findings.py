"""What a potential does on the structures of its run: errors of everything, by element, and its environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from mlip.batch import Properties, labels_of, pair_vectors
from mlip.descriptors.backends import fastest
from mlip.evaluation import committee_spreads, evaluate_structures
from mlip.model.committee import Spread
from mlip.model.extrapolation import ExtrapolationCount
from mlip.model.potential import Potential
from mlip.structure import Structure
from mlip.training.examples import Examples
from mlip.training.reliability import Reliability

USUAL_GROUPS = ("config_type", "group", "label", "subset", "source", "dataset")
MOST_GROUPS = 40  # a name with more values is rather a name of structures
KINDS = ("energy", "forces", "stress")


@dataclass(frozen=True)
class Environments:
    """Atoms of a set, as their potential sees them."""

    numbers: Int[np.ndarray, "N"]
    features: Float[np.ndarray, "N D"]  # scaled
    severity: Float[np.ndarray, "N"]  # how far outside of the training set's ranges, 0 inside
    nearest: Float[np.ndarray, "N"]  # Å, to the next atom; infinite without one within the cutoff
    closest: dict[tuple[int, int], float]  # Å, the shortest distance of each pair of elements


@dataclass(frozen=True)
class Part:
    """One set of a run: structures with predictions."""

    name: str  # train, valid, test
    total: int  # of which `structures` are a sample
    structures: list[Structure]
    predictions: list[Properties]
    spreads: list[Spread]
    results: dict[str, dict[str, Any]]  # "all" and by group, of the sample
    environments: Environments
    extrapolation: ExtrapolationCount
    pairs: dict[str, tuple[Float[np.ndarray, "_"], Float[np.ndarray, "_"]]] = field(default_factory=dict)

    def errors(self, kind: str) -> Float[np.ndarray, "_"]:
        """Predicted less labelled: energies in eV/atom, components of forces in eV/Å and of stress in eV/Å³."""
        labelled, predicted = self.pairs[kind]
        return predicted - labelled

    def forces_by_element(self) -> dict[int, tuple[int, float, float]]:
        """Atoms with force labels, mean absolute and root mean square error of a component (eV/Å), by element."""
        known = [
            (s.numbers, p.forces.double().numpy() - s.forces)
            for s, p in zip(self.structures, self.predictions, strict=True)
            if s.forces is not None and p.forces is not None
        ]
        if not known:
            return {}
        numbers, errors = (np.concatenate(column) for column in zip(*known, strict=True))
        found = {}
        for number in np.unique(numbers).tolist():
            mine = errors[numbers == number]
            found[number] = len(mine), float(np.abs(mine).mean()), float(np.sqrt((mine**2).mean()))
        return found

    def reliability(self) -> Reliability:
        """How the errors go with the standard deviations of a committee."""
        found = Reliability()
        for structure, predicted, deviations in zip(self.structures, self.predictions, self.spreads, strict=True):
            found.add(predicted, deviations, labels_of(structure))
        return found


def look_at(potential: Potential, name: str, structures: Sequence[Structure], most: int, quiet: bool = True) -> Part:
    """Evaluate a set, or `most` structures spread evenly over it."""
    places = np.unique(np.linspace(0, len(structures) - 1, min(most, len(structures))).round().astype(int))
    chosen = [structures[place] for place in places]
    extrapolation = ExtrapolationCount(potential, "structure")
    spreads = committee_spreads(potential, chosen)
    results, predictions = evaluate_structures(
        potential, chosen, by=group_name(chosen), quiet=quiet, spreads=spreads, extrapolation=extrapolation
    )
    part = Part(
        name,
        len(structures),
        chosen,
        predictions,
        spreads,
        results,
        _environments(potential, chosen),
        extrapolation,
    )
    part.pairs.update(_pairs(potential, chosen, predictions))
    return part


def group_name(structures: Sequence[Structure]) -> str | None:
    """The info entry that tells groups apart: text with several values; a usual name before others."""
    values: dict[str, set[str]] = {}
    for structure in structures:
        for name, value in structure.info.items():
            if isinstance(value, str):
                values.setdefault(name, set()).add(value)
    fitting = sorted(name for name, found in values.items() if 1 < len(found) <= MOST_GROUPS)
    return next((name for name in USUAL_GROUPS if name in fitting), fitting[0] if fitting else None)


def _pairs(
    potential: Potential, structures: Sequence[Structure], predictions: Sequence[Properties]
) -> dict[str, tuple[Float[np.ndarray, "_"], Float[np.ndarray, "_"]]]:
    """Labels and predictions of each kind that has labels; energies per atom, less the reference energies."""
    known: dict[str, list[tuple[Any, Any]]] = {kind: [] for kind in KINDS}
    for structure, predicted in zip(structures, predictions, strict=True):
        if structure.energy is not None:
            element = potential.element_of(torch.as_tensor(structure.numbers.astype(np.int64)).to(potential.device))
            carried = float(potential.reference_energies[element].sum())
            energies = [
                (energy - carried) / len(structure) for energy in (structure.energy, float(predicted.energy[0]))
            ]
            known["energy"].append((np.array(energies[:1]), np.array(energies[1:])))
        if structure.forces is not None and predicted.forces is not None:
            known["forces"].append((structure.forces.ravel(), predicted.forces.double().numpy().ravel()))
        if structure.stress is not None and predicted.stress is not None:
            known["stress"].append((structure.stress.ravel(), predicted.stress[0].double().numpy().ravel()))
    return {
        kind: (np.concatenate([label for label, _ in both]), np.concatenate([value for _, value in both]))
        for kind, both in known.items()
        if both
    }


@torch.no_grad()
def _environments(potential: Potential, structures: Sequence[Structure]) -> Environments:
    examples = Examples(structures, potential.cutoff, potential.device)
    featurizer = fastest(potential.descriptor, potential.device)
    scaled, severity = [], []
    for chunk in examples.chunks():
        batch = examples.take(chunk)[0]
        features = featurizer(batch.numbers, batch.pairs, pair_vectors(batch).to(potential.dtype))
        element = potential.element_of(batch.numbers)
        scaled.append(potential.scaling(features, element).float().cpu().numpy())
        severity.append(potential.ranges.outside(features, element).severity)
    whole = examples.atoms.whole
    numbers = whole.numbers.numpy()
    lengths, (center, neighbor) = pair_vectors(whole).norm(dim=1).numpy(), whole.pairs.numpy()
    nearest = np.full(len(numbers), np.inf)
    np.minimum.at(nearest, center, lengths)
    first, second = np.minimum(numbers[center], numbers[neighbor]), np.maximum(numbers[center], numbers[neighbor])
    closest = {
        (a, b): float(lengths[(first == a) & (second == b)].min())
        for a, b in np.unique(np.stack([first, second], axis=1), axis=0).tolist()
    }
    return Environments(numbers, np.concatenate(scaled), np.concatenate(severity), nearest, closest)
