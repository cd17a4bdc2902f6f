"""From the config's plain values to objects, each part on its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlip.batch import AtomsBatch
from mlip.config import Config
from mlip.config.descriptor import AutoSet, ExplicitSet, Function, FunctionSet
from mlip.config.pair import PairModel
from mlip.config.training import CosineSchedule, Exponential, LossTerm, Plateau
from mlip.data.read import read_structures
from mlip.descriptors import parameters
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.automatic import chosen_functions
from mlip.descriptors.functions import SymmetryFunction, function_from_dict
from mlip.elements import atomic_number, symbol
from mlip.model.density import fitted_density
from mlip.model.moments import Moments
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential, require_within
from mlip.model.ranges import fitted_ranges
from mlip.model.reference import fitted_references, given_references, isolated_references
from mlip.model.repulsion import ZBL, repulsion_from
from mlip.model.scaling import fitted_scaling
from mlip.pair.fit import fitted_pair_potential
from mlip.pair.potential import PairPotential
from mlip.reading import read_options
from mlip.structure import Structure
from mlip.training import optimizers
from mlip.training.loop import Plan, Stage
from mlip.training.loss import Loss, Term
from mlip.training.loss_weights import Lengths, with_automatic_weights

MAKERS: dict[str, Callable[..., list[SymmetryFunction]]] = {
    "radial": parameters.radial_grid,
    "log_normal": parameters.log_normal_grid,
    "bessel": parameters.bessel_waves,
    "angular": parameters.angular_grid,
    "chebyshev": parameters.chebyshev_grid,
    "axilrod_teller": parameters.chebyshev_grid,
    "narrow": partial(parameters.behler_angular, kind="narrow"),
    "wide": partial(parameters.behler_angular, kind="wide"),
    "ani1x": parameters.ani1x,
    "ani2x": parameters.ani2x,
}


def functions_of(config: Config, elements: Sequence[int]) -> list[SymmetryFunction]:
    """The symmetry functions of all sets of the config, for these elements; `with_chosen_functions` comes before."""
    functions: list[SymmetryFunction] = []
    for chosen in config.model.descriptor:
        if isinstance(chosen, ExplicitSet):
            functions += [_explicit(function.model_dump(exclude_none=True)) for function in chosen.functions]
        else:
            functions += MAKERS[chosen.set](elements, **chosen.model_dump(exclude={"set"}))
    return functions


def as_solved(config: Config) -> Config:
    """The config with what its kind needs: weights that are solved for take all digits, and a CPU's memory."""
    if config.model.kind == "network":
        return config
    return config.model_copy(update={"run": config.run.model_copy(update={"dtype": "float64", "device": "cpu"})})


def with_chosen_functions(config: Config, structures: Sequence[Structure]) -> Config:
    """The config with the functions that `auto` chooses for these training structures listed one by one."""
    if not any(isinstance(chosen, AutoSet) for chosen in config.model.descriptor):
        return config
    elements = sorted({int(z) for s in structures for z in s.numbers})
    sets: list[FunctionSet] = []
    for chosen in config.model.descriptor:
        if isinstance(chosen, AutoSet):
            options = chosen.model_dump(exclude={"set"})
            sets.append(explicit_set(chosen_functions(structures, elements, **options, seed=config.run.seed)))
        else:
            sets.append(chosen)
    return _with_sets(config, sets)


def listed_functions(config: Config, structures: Sequence[Structure]) -> Config:
    """The config with all its functions, for the elements of these training structures, listed one by one."""
    elements = sorted({int(z) for s in structures for z in s.numbers})
    return _with_sets(config, [explicit_set(functions_of(with_chosen_functions(config, structures), elements))])


def _with_sets(config: Config, sets: Sequence[FunctionSet]) -> Config:
    model = config.model.model_copy(update={"descriptor": tuple(sets)})
    return config.model_copy(update={"model": model})


def explicit_set(functions: Sequence[SymmetryFunction]) -> ExplicitSet:
    """Symmetry functions as a config lists them."""
    return ExplicitSet(set="explicit", functions=tuple(map(_listed, functions)))


def _listed(function: SymmetryFunction) -> Function:
    values = function.as_dict()
    center = values.pop("center")
    neighbors = tuple(map(symbol, values.pop("neighbors")))
    weights = {symbol(number): weight for number, weight in values.pop("weights")}
    around = None if center is None else symbol(center)
    return Function(**values, neighbors=neighbors, weights=weights, center=around)


def _explicit(values: dict[str, Any]) -> SymmetryFunction:
    origin = "model.descriptor"
    numbers: dict[str, Any] = {
        "neighbors": tuple(atomic_number(name, origin) for name in values.get("neighbors", ())),
        "weights": tuple((atomic_number(name, origin), w) for name, w in values.get("weights", {}).items()),
    }
    if "center" in values:
        numbers["center"] = atomic_number(values["center"], origin)
    return function_from_dict({**values, **numbers})


def network_shapes(
    config: Config, elements: Sequence[int]
) -> tuple[list[tuple[int, ...]], list[str | tuple[str, ...]]]:
    """Hidden widths and activation, or activations, of each element's network.

    Raises:
        ValueError: the config names an element that is not there, or wants the last layer of a curved output solved.
    """
    networks = config.model.networks
    names = [symbol(number) for number in elements]
    strangers = sorted(set(networks.elements) - set(names))
    if strangers:
        raise ValueError(f"model.networks.elements names {', '.join(strangers)}; the data hold {', '.join(names)}")
    hidden, activation = (list(values) for values in zip(*map(networks.of, names), strict=True))
    outputs = {each[-1] for each in activation if not isinstance(each, str)} - {"linear"}
    if config.training.solve_last_layer and outputs:
        raise ValueError(
            f"training.solve_last_layer is true, and model.networks gives the output {', '.join(sorted(outputs))}: "
            "only of a linear output the last layer is solved. Set it to false, or the last activation to linear"
        )
    return hidden, activation


def repulsion_of(config: Config, descriptor: ACSF) -> ZBL | None:
    """The repulsion of the config for the descriptor's elements, if it has one.

    Raises:
        ValueError: it reaches beyond the descriptor's cutoff.
    """
    chosen = config.model.repulsion
    if chosen is None:
        return None
    repulsion = repulsion_from(chosen.model_dump(), descriptor.elements)
    assert repulsion is not None
    require_within(repulsion, descriptor, "repulsion")
    return repulsion


def fitted_curves(
    config: Config,
    chosen: PairModel,
    structures: Sequence[Structure],
    elements: Sequence[int],
    cutoff: float,
    known: Mapping[str, Mapping[str, float]] | None = None,
) -> PairPotential:
    """The pair potential that a section of the config describes, fitted to structures that are less the repulsion.

    `cutoff` (Å) is for a section that has none; `known` parameters by pair of elements are taken as they are, as are
    those of the section.

    Raises:
        ValueError: the section and the data do not fit together.
    """
    end = chosen.cutoff or cutoff
    inner = 0.75 * end if chosen.inner is None else chosen.inner
    fixed = config.model.reference_energies.method in ("isolated", "given")
    return fitted_pair_potential(
        structures, elements, chosen.form, cutoff=end, inner=inner, knots=chosen.knots, smoothing=chosen.smoothing,
        given={**chosen.parameters, **(known or {})},
        references=reference_energies_of(config, structures, structures, elements) if fixed else None,
    )  # fmt: skip


def make_potential(
    config: Config,
    descriptor: ACSF,
    structures: Sequence[Structure] | float,
    references: Sequence[float],
    features: Sequence[Tensor | Moments],
    baseline: PairPotential | None = None,
) -> Potential:
    """A potential with random weights; scaling, ranges and density are from the features of each element's atoms.

    `structures` are those to train on, less the repulsion and the `baseline`, or their `energy_scale`.
    """
    hidden, activation = network_shapes(config, descriptor.elements)
    generator = torch.Generator().manual_seed(config.run.seed)
    members = config.model.committee.members
    networks = AtomicNetworks(len(descriptor.functions), hidden, activation, generator, members)
    return Potential(
        descriptor,
        fitted_scaling(features, config.model.scaling),
        networks.to(getattr(torch, config.run.dtype)),
        references,
        energy_scale=structures if isinstance(structures, float) else energy_scale(structures),
        anchored=config.model.reference_energies.method in ("isolated", "given"),
        repulsion=repulsion_of(config, descriptor),
        baseline=baseline,
        ranges=fitted_ranges(features),
        density=fitted_density(features),
    )


def reference_energies_of(
    config: Config, train: Sequence[Structure], everything: Sequence[Structure], elements: Sequence[int]
) -> list[float]:
    """Reference energies (eV) by the config's method: fitted to `train`, or of the lone atoms in `everything`."""
    chosen = config.model.reference_energies
    if chosen.method == "given":
        assert chosen.values is not None, "the schema sees to it"
        return given_references(chosen.values, elements)
    if chosen.method == "isolated":
        path = chosen.isolated_file
        atoms = read_structures(path, read_options(config.data)) if path else everything
        return isolated_references(atoms, elements, path or config.data.train)
    return fitted_references(train, elements, chosen.method)


def energy_scale(structures: Sequence[Structure]) -> float:
    """The size of what the networks learn: root mean square force times 1 Å, else spread of energies per atom (eV)."""
    squares = [float((s.forces**2).mean()) for s in structures if s.forces is not None]
    return scale_of(squares, [s.energy / len(s) for s in structures if s.energy is not None])


def scale_of(squares: Sequence[float], energies: Sequence[float]) -> float:
    """The same from each structure's mean square force component (eV²/Å²) and energy per atom (eV), if it has them."""
    if len(squares) and max(squares) > 0:
        return math.sqrt(sum(squares) / len(squares))
    spread = float(np.std(energies)) if len(energies) else 0.0
    return spread if spread > 1e-6 else 1.0


def plan_of(config: Config, train: AtomsBatch | Lengths) -> Plan:
    """The trainer's plan from the config; `train` has the training structures, or is what weights are made of."""
    training = config.training
    schedule = training.schedule
    shape: optimizers.Schedule
    if isinstance(schedule, CosineSchedule):
        shape = optimizers.cosine(training.epochs, schedule.warmup, schedule.final)
    elif isinstance(schedule, Exponential):
        shape = optimizers.exponential(schedule.factor)
    elif isinstance(schedule, Plateau):
        shape = optimizers.Plateau(schedule.factor, schedule.patience)
    else:
        shape = optimizers.constant()
    terms = {name: getattr(training.loss, name) for name in ("energy", "forces", "stress")}
    automatic = {name for name, term in terms.items() if term.weight == "auto"}
    loss = with_automatic_weights(Loss(**{name: _term(term) for name, term in terms.items()}), automatic, train)
    factor = training.fine_tuning.rate if training.start_from else 1.0
    stages = [Stage(1, loss, factor * training.optimizer.learning_rate)]
    second = training.second_stage
    if second.start is not None:
        weights = {
            name: replace(getattr(loss, name), weight=weight)
            for name in ("energy", "forces", "stress")
            if (weight := getattr(second, f"{name}_weight")) is not None
        }
        rate = second.learning_rate or training.optimizer.learning_rate
        stages.append(Stage(second.start, replace(loss, **weights), factor * rate))
    return Plan(
        epochs=training.epochs,
        batch_size=None if training.batch_size == "all" else training.batch_size,
        stages=tuple(stages),
        schedule=shape,
        gradient_clip=training.gradient_clip,
        ema=training.ema,
        average_last=training.average_last,
        solve_last_layer=training.solve_last_layer,
        patience=training.early_stopping.patience,
        min_delta=training.early_stopping.min_delta,
        checkpoint_seconds=training.checkpoint_seconds,
        seed=config.run.seed,
        members_by_rank=training.ranks_share == "members",
    )


def _term(term: LossTerm) -> Term:
    return Term(1.0 if term.weight == "auto" else term.weight, term.form, term.delta)
