"""A potential against a file of labelled structures: errors in all and by group, and the predictions."""

from __future__ import annotations

import logging
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
from mlip.model.committee import Spread
from mlip.model.density import Distance
from mlip.model.evaluate import evaluate
from mlip.model.extrapolation import ExtrapolationCount, WatchedFeatures
from mlip.model.potential import Potential
from mlip.model.sparsity import SparsityCount
from mlip.model.uncertainty import spread
from mlip.preparation import require_known
from mlip.structure import Structure
from mlip.training.examples import Examples
from mlip.training.metrics import Errors
from mlip.training.reliability import Reliability

logger = logging.getLogger(__name__)

RESERVED = ("all", "extrapolation", "worst")  # of the results, so that no group may have these names
PREFIX = "mlip_"  # of the names of predictions in files


def evaluate_structures(
    potential: Potential,
    structures: Sequence[Structure],
    *,
    by: str | None = None,
    shift: bool = False,
    quiet: bool = True,
    spreads: Sequence[Spread] = (),
    extrapolation: ExtrapolationCount | None = None,
    sparsity: SparsityCount | None = None,
    distances: list[Distance] | None = None,
) -> tuple[dict[str, dict[str, Any]], list[Properties]]:
    """Errors of all structures and of each group, and the predictions one by one.

    `by` names an info entry whose values are the groups; structures without it are the group "-". With `shift` the
    errors are those after the mean error of the energy per atom is taken from all energies, as where the zero of the
    labels is another one than the potential's; "all" then holds it as energy_shift_per_atom (eV). With the `spreads` of
    the structures (`committee_spreads`) the errors are also compared with these. `extrapolation` counts the atoms
    outside of the training set's features on the way, `sparsity` those where they are sparse; `distances` gets how far
    they are.

    Raises:
        ValueError: no structure has that entry, or the potential does not know an element.
    """
    require_known(set(potential.elements), structures, "structure the potential was trained on")
    if by is not None and not any(by in structure.info for structure in structures):
        known = sorted({name for structure in structures for name in structure.info})
        raise ValueError(f"--by {by}: no structure has that entry; found {', '.join(known) or 'none at all'}")
    examples = Examples(structures, potential.cutoff, potential.device)
    watched = WatchedFeatures(potential) if extrapolation or sparsity else None
    predictions: list[Properties] = []
    bar = tqdm(total=len(structures), unit="structure", disable=quiet, dynamic_ncols=True)
    for chunk in examples.chunks():
        batch, _, _ = examples.take(chunk)
        predicted = evaluate(potential, batch, features=watched).to(torch.device("cpu"))
        sizes = [len(structures[number]) for number in chunk]
        if extrapolation and watched:
            for number, outside in zip(chunk, watched.outside().split(sizes), strict=True):
                extrapolation.add(structures[number].numbers, outside, structures[number].origin)
        found = watched.distance() if sparsity and watched else None
        if sparsity and found:
            parts = found.split(sizes)
            for number, distance in zip(chunk, parts, strict=True):
                sparsity.add(structures[number].numbers, distance, structures[number].origin)
            if distances is not None:
                distances += parts
        predictions += _singles(predicted, sizes)
        bar.update(len(chunk))
    bar.close()
    total = _Comparison()
    groups: defaultdict[str, _Comparison] = defaultdict(_Comparison)
    offset = _mean_error_per_atom(structures, predictions) if shift else 0.0
    for number, (structure, predicted) in enumerate(zip(structures, predictions, strict=True)):
        shifted = predicted._replace(energy=predicted.energy - offset * len(structure))
        labelled = examples.labels_of([number]), examples.atoms.take([number]), spreads[number] if spreads else None
        total.add(shifted, *labelled)
        if by is not None:
            groups[str(structure.info.get(by, "-"))].add(shifted, *labelled)
    named = {f"{by}={name}" if name in RESERVED else name: groups[name].results() for name in sorted(groups)}
    whole = {**total.results(), **({"energy_shift_per_atom": offset} if shift else {})}
    return {"all": whole, **named}, predictions


def _mean_error_per_atom(structures: Sequence[Structure], predictions: Sequence[Properties]) -> float:
    errors = [_energy_error(*both) for both in zip(structures, predictions, strict=True)]
    known = [error for error in errors if error is not None]
    return float(np.mean(known)) if known else 0.0


def _energy_error(structure: Structure, predicted: Properties) -> float | None:
    """Error of the energy per atom (eV), None without a label."""
    if structure.energy is None:
        return None
    return (float(predicted.energy[0]) - structure.energy) / len(structure)


def worst_structures(
    structures: Sequence[Structure], predictions: Sequence[Properties], count: int, offset: float = 0.0
) -> list[dict[str, Any]]:
    """The structures with the largest errors, the worst first, with their errors (eV/atom, eV/Å) and where they stand.

    They are ordered by the root mean square error of the forces if any structure has forces, else by the energy per
    atom, from which `offset` is taken.
    """
    rows = []
    for structure, predicted in zip(structures, predictions, strict=True):
        row: dict[str, Any] = {"structure": structure.origin}
        energy = _energy_error(structure, predicted)
        if energy is not None:
            row["energy_error_per_atom"] = energy - offset
        if structure.forces is not None:
            assert predicted.forces is not None
            error = predicted.forces.double().numpy() - structure.forces
            row["forces_rmse"] = float(np.sqrt((error**2).mean()))
            row["atom"] = int((error**2).sum(axis=1).argmax())  # whose force is the worst
        rows.append(row)
    key = "forces_rmse" if any("forces_rmse" in row for row in rows) else "energy_error_per_atom"
    labelled = [row for row in rows if key in row]
    return sorted(labelled, key=lambda row: -abs(row[key]))[:count]


def worst_table(rows: Sequence[dict[str, Any]]) -> str:
    """The worst structures for a person to read, one a line."""
    lines = ["worst structures"]
    for row in rows:
        parts = []
        if "energy_error_per_atom" in row:
            parts.append(f"energy {1e3 * row['energy_error_per_atom']:+.2f} meV/atom")
        if "forces_rmse" in row:
            parts.append(f"forces RMSE {1e3 * row['forces_rmse']:.1f} meV/Å, most at atom {row['atom']}")
        lines.append(f"  {row['structure']}: {', '.join(parts)}")
    return "\n".join(lines)


def committee_spreads(potential: Potential, structures: Sequence[Structure]) -> list[Spread]:
    """Standard deviations of each structure's predictions; an empty list for a potential that has none.

    Raises:
        ValueError: the potential does not know an element.
    """
    found: list[Spread] = []
    if not potential.deviates:
        return found
    require_known(set(potential.elements), structures, "structure the potential was trained on")
    largest = max(map(len, structures), default=0)
    if not potential.deviates_for(largest):
        logger.info("no standard deviations: a structure has %d atoms, too many for a Gaussian process", largest)
        return found
    examples = Examples(structures, potential.cutoff, potential.device)
    for chunk in examples.chunks():
        energy, forces, atomic_energies = spread(potential, examples.take(chunk)[0]).to(torch.device("cpu"))
        sizes = [len(structures[n]) for n in chunk]
        parts = zip(energy.split(1), forces.split(sizes), atomic_energies.split(sizes), strict=True)
        found += [Spread(*fields) for fields in parts]
    return found


def write_predictions(
    path: Path,
    structures: Sequence[Structure],
    predictions: Sequence[Properties],
    spreads: Sequence[Spread] = (),
    distances: Sequence[Distance] = (),
) -> None:
    """Write structures with their labels, and beside them mlip_energy, mlip_forces, mlip_energies, mlip_stress.

    `spreads` add mlip_energy_std, mlip_forces_std and mlip_energies_std, `distances` mlip_feature_distance. The file is
    written whole or not at all; an old one of that name stays until then.
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
        if distances:
            atoms.arrays[PREFIX + "feature_distance"] = distances[number].distance
        stress = predicted.stress[0].double().numpy()
        if np.isfinite(stress).all():
            atoms.info[PREFIX + "stress"] = stress.ravel()  # nine numbers, which every reader of extxyz takes
        frames.append(atoms)
    partial = path.with_name(f"partial.{path.name}")  # the ending may ask for compression
    try:
        ase.io.write(partial, frames, format="extxyz")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
