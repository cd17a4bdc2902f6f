"""What is taken from the labels before a model learns them: repulsion and fitted pair potentials, told to the user."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlip.assembly import fitted_curves
from mlip.config import Config
from mlip.descriptors.acsf import ACSF
from mlip.elements import symbols
from mlip.model.potential import Potential, require_within
from mlip.model.repulsion import ZBL
from mlip.pair.potential import PairPotential
from mlip.structure import Structure

logger = logging.getLogger(__name__)

PAIR_CUTOFF = 6.0  # Å, of model.kind pair where the config says none
SHOWN = 1e-3  # Å, steps at which curves are looked through for their minima


def pair_descriptor(config: Config, elements: Sequence[int]) -> ACSF:
    """The descriptor of model.kind pair: no functions, and how far atoms see each other."""
    return ACSF(elements, (), config.model.pair.cutoff or PAIR_CUTOFF)


def baseline_of(
    config: Config, descriptor: ACSF, train: Sequence[Structure], known: Potential | None
) -> PairPotential | None:
    """The pair potential of the config, fitted to training structures that are less the repulsion, if it has one.

    That of a `known` potential, which a run goes on from, is kept; of new elements the parameters are fitted.

    Raises:
        ValueError: the config says other than the known potential, or the curves reach beyond the descriptor's cutoff.
    """
    alone = config.model.kind == "pair"
    chosen = config.model.pair if alone else config.model.baseline
    found = None if known is None else known.baseline
    key = "pair" if alone else "baseline"
    if known is not None and (chosen and chosen.form) != (found and found.form.name):
        raise ValueError(
            f"model.{key} is {chosen and chosen.form}, and the potential that this goes on from has "
            f"{found and found.form.name}; what it learned is the rest. Leave model.{key} as it was"
        )
    if chosen is None:
        return None
    parameters = None
    if found is not None:
        if found.elements == descriptor.elements:
            return found.to(descriptor.index_of_number.device)
        if not found.form.units:
            raise ValueError(
                f"the data hold elements other than {symbols(found.elements)}, and a {found.form.name} baseline cannot "
                "be made for more. Train a new potential, or one with another baseline"
            )
        parameters = found.parameters_by_pair()
        chosen = chosen.model_copy(update={"cutoff": found.cutoff, "inner": found.inner})
    made = fitted_curves(config, chosen, train, descriptor.elements, descriptor.cutoff, parameters)
    require_within(made, descriptor, key)
    logger.info("fitted %s", description(made))
    return made.to(descriptor.index_of_number.device)


def description(potential: PairPotential) -> str:
    """A pair potential in words: its parameters, or where the minima of its curves are."""
    head = f"{potential.form.name} from {potential.inner:g} Å led to zero at {potential.cutoff:g} Å"
    return f"{head}: " + "; ".join(f"{name} {text}" for name, text in curves_in_words(potential).items())


def curves_in_words(potential: PairPotential) -> dict[str, str]:
    """The parameters of each pair of elements, of a spline the deepest point of its curve."""
    units = potential.form.units
    if units:
        return {
            name: ", ".join(f"{key} {value:.4g} {units[key]}" for key, value in values.items())
            for name, values in potential.parameters_by_pair().items()
        }
    return {
        name: f"{energy:.4g} eV at {distance:.3f} Å" for name, (distance, energy) in potential.minima(SHOWN).items()
    }


def errors_alone(
    structures: Sequence[Structure], references: Sequence[float], elements: Sequence[int]
) -> dict[str, float]:
    """Root mean squares of what a pair potential leaves of the labels: per atom (eV), and of force components (eV/Å).

    `structures` have labels less the pair potential.
    """
    table = np.zeros(max(elements) + 1)
    table[list(elements)] = references  # NaN where they are fitted to what a potential leaves
    energies = [(s.energy - table[s.numbers].sum()) / len(s) for s in structures if s.energy is not None]
    forces = [s.forces.ravel() for s in structures if s.forces is not None]
    found = {}
    if energies and np.isfinite(energies).all():
        found["energy_rmse_per_atom"] = float(np.sqrt(np.square(energies).mean()))
    if forces:
        found["forces_rmse"] = float(np.sqrt(np.square(np.concatenate(forces)).mean()))
    return found


def errors_in_words(errors: dict[str, float]) -> str:
    """These errors in meV."""
    words = {"energy_rmse_per_atom": "meV/atom", "forces_rmse": "meV/Å"}
    return ", ".join(f"{1e3 * value:.4g} {words[name]}" for name, value in errors.items())


def touched_by_repulsion(structures: Sequence[Structure], targets: Sequence[Structure]) -> int:
    """How many structures came back changed from `less_pair_term`."""
    touched = sum(target is not structure for structure, target in zip(structures, targets, strict=True))
    if touched:
        logger.info(
            "model.repulsion reaches into %d of %d training structures; the model learns what it leaves of them",
            touched,
            len(structures),
        )
    return touched


def summary_of(
    repulsion: ZBL | None, touched: int, baseline: PairPotential | None, errors: dict[str, float], count: int
) -> dict[str, Any]:
    """What is added to a model, for a person to look over; `count` is the number of training structures."""
    found: dict[str, Any] = {}
    if repulsion is not None:
        ends = repulsion.outer
        found["repulsion"] = (
            f"ends at {float(ends.min()):.2f} to {float(ends.max()):.2f} Å by element, reaches into "
            f"{touched} of {count} training structures"
        )
    if baseline is not None:
        found["pair potential"] = f"{baseline.form.name}, {baseline.inner:g} to {baseline.cutoff:g} Å"
        found["curves"] = curves_in_words(baseline)
        found["it leaves (rmse)"] = errors_in_words(errors)
    return found
