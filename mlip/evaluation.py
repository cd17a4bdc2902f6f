"""A potential against a file of labelled structures: errors in all and by group, and the predictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from tqdm import tqdm

from mlip.batch import AtomsBatch, Properties
from mlip.data.write import to_atoms
from mlip.model.committee import Spread, spread
from mlip.model.evaluate import evaluate
from mlip.model.potential import Potential
from mlip.preparation import require_known
from mlip.structure import Structure
from mlip.training.examples import Examples
from mlip.training.metrics import Errors
from mlip.training.reliability import Reliability

PREFIX = "mlip_"  # of the names of predictions in files


def evaluate_structures(
    potential: Potential,
    structures: Sequence[Structure],
    *,
    by: str | None = None,
    quiet: bool = True,
    spreads: Sequence[Spread] = (),
) -> tuple[dict[str, dict[str, Any]], list[Properties]]:
    """Errors of all structures and of each group, and the predictions one by one.

    `by` names an info entry whose values are the groups; structures without it are the group "-". With the `spreads` of
    the structures (`committee_spreads`) the errors are also compared with these.

    Raises:
        ValueError: no structure has that entry, or the potential does not know an element.
    """
    require_known(set(potential.elements), structures, "structure the potential was trained on")
    if by is not None and not any(by in structure.info for structure in structures):
        known = sorted({name for structure in structures for name in structure.info})
        raise ValueError(f"--by {by}: no structure has that entry; found {', '.join(known) or 'none at all'}")
    examples = Examples(structures, potential.cutoff, potential.device)
    total = _Comparison()
    groups: defaultdict[str, _Comparison] = defaultdict(_Comparison)
    predictions: list[Properties] = []
    bar = tqdm(total=len(structures), unit="structure", disable=quiet, dynamic_ncols=True)
    for chunk in examples.chunks():
        batch, _, _ = examples.take(chunk)
        predicted = evaluate(potential, batch).to(torch.device("cpu"))
        for number, single in zip(chunk, _singles(predicted, [len(structures[n]) for n in chunk]), strict=True):
            predictions.append(single)
            deviations = spreads[number] if spreads else None
            labelled = examples.labels_of([number]), examples.atoms.take([number]), deviations
            total.add(single, *labelled)
            if by is not None:
                groups[str(structures[number].info.get(by, "-"))].add(single, *labelled)
        bar.update(len(chunk))
    bar.close()
    named = {f"{by}={name}" if name == "all" else name: groups[name].results() for name in sorted(groups)}
    return {"all": total.results(), **named}, predictions


def committee_spreads(potential: Potential, structures: Sequence[Structure]) -> list[Spread]:
    """Standard deviations over the members of a committee for each structure; an empty list for a single potential.

    Raises:
        ValueError: the potential does not know an element.
    """
    found: list[Spread] = []
    if potential.members == 1:
        return found
    require_known(set(potential.elements), structures, "structure the potential was trained on")
    examples = Examples(structures, potential.cutoff, potential.device)
    for chunk in examples.chunks():
        energy, forces, atomic_energies = spread(potential, examples.take(chunk)[0]).to(torch.device("cpu"))
        sizes = [len(structures[n]) for n in chunk]
        parts = zip(energy.split(1), forces.split(sizes), atomic_energies.split(sizes), strict=True)
        found += [Spread(*fields) for fields in parts]
    return found


def write_predictions(
    path: Path, structures: Sequence[Structure], predictions: Sequence[Properties], spreads: Sequence[Spread] = ()
) -> None:
    """Write structures with their labels, and beside them mlip_energy, mlip_forces, mlip_energies, mlip_stress.

    `spreads` add mlip_energy_std, mlip_forces_std and mlip_energies_std.
    """
    frames = []
    for number, (structure, predicted) in enumerate(zip(structures, predictions, strict=True)):
        info = {name: value for name, value in structure.info.items() if not name.startswith(PREFIX)}
        atoms = to_atoms(replace(structure, info=info))
        assert predicted.forces is not None and predicted.atomic_energies is not None and predicted.stress is not None
        atoms.info[PREFIX + "energy"] = float(predicted.energy[0])
        atoms.arrays[PREFIX + "forces"] = predicted.forces.double().numpy()
        atoms.arrays[PREFIX + "energies"] = predicted.atomic_energies.numpy()
        if spreads:
            atoms.info[PREFIX + "energy_std"] = float(spreads[number].energy[0])
            atoms.arrays[PREFIX + "forces_std"] = spreads[number].forces.double().numpy()
            atoms.arrays[PREFIX + "energies_std"] = spreads[number].atomic_energies.numpy()
        stress = predicted.stress[0].double().numpy()
        if np.isfinite(stress).all():
            atoms.info[PREFIX + "stress"] = stress.ravel()  # nine numbers, which every reader of extxyz takes
        frames.append(atoms)
    ase.io.write(path, frames, format="extxyz")


class _Comparison:
    """Errors of some structures, and how they go with the spread of a committee."""

    def __init__(self) -> None:
        self._errors, self._reliability = Errors(), Reliability()

    def add(self, predicted: Properties, labels: Properties, batch: AtomsBatch, deviations: Spread | None) -> None:
        """Count the structures of a batch."""
        self._errors.add(predicted, labels, batch)
        if deviations is not None:
            self._reliability.add(predicted, deviations, labels)

    def results(self) -> dict[str, Any]:
        """Both under the keys of results.json."""
        return {**self._errors.results(), **self._reliability.results()}


def _singles(predicted: Properties, sizes: Sequence[int]) -> list[Properties]:
    """Predictions of a batch, one structure at a time."""
    assert predicted.forces is not None and predicted.atomic_energies is not None and predicted.stress is not None
    columns = (
        predicted.energy.split(1),
        predicted.forces.split(list(sizes)),
        predicted.stress.split(1),
        predicted.atomic_energies.split(list(sizes)),
    )
    return [Properties(*fields) for fields in zip(*columns, strict=True)]
