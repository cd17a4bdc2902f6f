"""Training that starts from a potential: what is taken from it, and what the new data need besides."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlip.assembly import explicit_set, functions_of, network_shapes, reference_energies_of, repulsion_of
from mlip.config import Config
from mlip.config.descriptor import AutoSet
from mlip.config.model import Committee, Model
from mlip.config.networks import Networks
from mlip.config.pair import PairModel
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.automatic import chosen_functions
from mlip.elements import symbol, symbols
from mlip.model.checkpoint import POTENTIAL_FILE, load_content, load_potential
from mlip.model.density import fitted_density
from mlip.model.evaluate import evaluate
from mlip.model.moments import Moments, moments_of
from mlip.model.networks import AtomicNetworks, activation_of_layers, short_activation
from mlip.model.potential import Potential
from mlip.model.ranges import fitted_ranges
from mlip.model.scaling import fitted_scaling
from mlip.model.transfer import anchor, take_over
from mlip.pair.potential import PairPotential
from mlip.structure import Structure
from mlip.training.examples import Examples

logger = logging.getLogger(__name__)

KEY = "training.start_from"
KEPT_SECTIONS = (
    "descriptor",
    "networks",
    "committee",
    "scaling",
    "repulsion",
    "baseline",
)  # unless the config gives them


def start_of(config: Config) -> tuple[Config, Potential]:
    """The potential to start from, and the config with what it does not say about the model taken from there.

    Raises:
        ValueError: there is no such potential, or it is the one in run.dir, which the run would replace.
    """
    path = Path(str(config.training.start_from))
    file = path / POTENTIAL_FILE if path.is_dir() else path
    if file.resolve() == (Path(config.run.dir) / POTENTIAL_FILE).resolve():
        raise ValueError(f"{KEY} is {path}, the potential of run.dir itself, which the run replaces. Set run.dir")
    try:
        start = load_potential(path)
    except ValueError as error:
        raise ValueError(f"{KEY}: {error}") from error
    taken = _model_of(start, load_content(path).get("provenance") or {})
    values = {name: getattr(taken, name) for name in KEPT_SECTIONS if name not in config.model.model_fields_set}
    return config.model_copy(update={"model": config.model.model_copy(update=values)}), start


def with_new_elements(config: Config, start: Potential, structures: Sequence[Structure]) -> Config:
    """The config with functions for elements that `start` does not know, if its functions are a list taken from there.

    They are chosen from the structures as `auto` does, and come after those of the potential.
    """
    elements = sorted({int(z) for s in structures for z in s.numbers})
    added = set(elements) - set(start.elements)
    old = start.descriptor.functions
    if not added or functions_of(config, sorted(added | set(start.elements))) != list(old):
        return config
    found = chosen_functions(structures, elements, budget=AutoSet(set="auto").budget, seed=config.run.seed)
    new = [function for function in found if function.elements & added]
    logger.info(
        "%d symmetry functions are chosen for %s, which %s does not know", len(new), symbols(sorted(added)), KEY
    )
    model = config.model.model_copy(update={"descriptor": (explicit_set([*old, *new]),)})
    return config.model_copy(update={"model": model})


def require_fitting(config: Config, start: Potential, elements: Sequence[int]) -> None:
    """See that descriptor and networks of the config are those of the potential, and can be made for new elements.

    Raises:
        ValueError: they are not, or cannot.
    """
    members = config.model.committee.members
    if members != start.members:
        raise ValueError(
            f"model.committee.members is {members}, and {KEY} ({config.training.start_from}) has {start.members}. "
            "Remove model.committee from the config, then it is taken over"
        )
    known = set(start.elements)
    made = functions_of(config, elements)
    old = [f for f in made if {*f.elements, f.center or start.elements[0]} <= known]
    ours, theirs = Counter(old), Counter(start.descriptor.functions)
    lacking = [f"does not make {f}, which {KEY} ({config.training.start_from}) has" for f in theirs - ours]
    beyond = [f"makes {f}, which {KEY} ({config.training.start_from}) does not have" for f in ours - theirs]
    if lacking or beyond:
        raise ValueError(
            f"model.descriptor {[*lacking, *beyond][0]}. Remove model.descriptor from the config, then the functions "
            "of the potential are taken"
        )
    added = sorted(set(elements) - known)
    unseen = [z for z in added if not any(z in f.elements for f in made)]
    if unseen:
        raise ValueError(
            f"the data hold {symbols(unseen)}, which {KEY} ({config.training.start_from}) does not know, and its "
            "functions are listed one by one, none for them. Give the sets in model.descriptor (radial, angular, ...) "
            "that these functions were made by, or list functions with the new elements as well"
        )
    for number, hidden, activation in zip(elements, *network_shapes(config, elements), strict=True):
        if number in known:
            row = start.elements.index(number)
            given = list(hidden), activation_of_layers(activation, len(hidden))
            kept = start.networks.hidden[row], start.networks.activation[row]
            if given != kept:
                raise ValueError(
                    f"model.networks gives {symbol(number)} {given[0]}, {short_activation(given[1])}; {KEY} "
                    f"({config.training.start_from}) has {kept[0]}, {short_activation(kept[1])}. Remove model.networks "
                    "from the config, or give other widths to new elements only: model.networks.elements"
                )


def known_references(
    config: Config,
    start: Potential,
    train: Sequence[Structure],
    everything: Sequence[Structure],
    elements: Sequence[int],
) -> list[float]:
    """Reference energies (eV) that are given or kept; NaN where they are to be fitted to what the potential leaves."""
    keep = config.training.fine_tuning.reference_energies == "keep"
    wanted = [z for z in elements if not (keep and z in start.elements)]
    energies = dict.fromkeys(elements, math.nan)
    if config.model.reference_energies.method in ("isolated", "given") and wanted:
        energies |= zip(wanted, reference_energies_of(config, train, everything, wanted), strict=True)
    if keep:
        energies |= zip(start.elements, start.reference_energies.tolist(), strict=True)
    return [energies[z] for z in elements]


def continued_potential(
    config: Config,
    start: Potential,
    descriptor: ACSF,
    references: Sequence[float],
    features: Sequence[Tensor | Moments],
    train: Examples,
    baseline: PairPotential | None = None,
) -> Potential:
    """A potential with the predictions of `start`, networks for new elements, and reference energies for the data.

    `features` are those of each element's training atoms, and their density is that of the new potential; `references`
    as `known_references` gives them.
    """
    hidden, activation = network_shapes(config, descriptor.elements)
    generator = torch.Generator().manual_seed(config.run.seed)
    networks = AtomicNetworks(len(descriptor.functions), hidden, activation, generator, start.members)
    potential = Potential(
        descriptor,
        fitted_scaling(features, config.model.scaling),
        networks.to(getattr(torch, config.run.dtype)),
        [0.0] * len(descriptor.elements),
        repulsion=repulsion_of(config, descriptor),
        baseline=baseline,
        ranges=fitted_ranges(features),
        density=fitted_density(features),
    ).to(train.device)
    seen = {z for z, values in zip(descriptor.elements, features, strict=True) if moments_of(values).atoms}
    take_over(potential, start, rescaled=seen if config.training.fine_tuning.scaling == "refit" else ())
    method = config.model.reference_energies.method
    if method in ("isolated", "given") and not potential.anchored:
        anchor(potential)
    unknown = np.isnan(references)
    added = np.array([z not in start.elements for z in descriptor.elements])
    given = torch.tensor(references, dtype=torch.float64, device=train.device)
    if config.training.fine_tuning.reference_energies == "keep":
        given[~torch.tensor(added)] = torch.nan  # they have them already, and anchoring may have rewritten them
    potential.reference_energies.copy_(torch.where(given.isnan(), potential.reference_energies, given))
    _fit_references(potential, train, unknown & added, "least_squares")  # else they would be made up by the old ones
    _fit_references(potential, train, unknown, method)
    return potential


def _fit_references(potential: Potential, examples: Examples, chosen: np.ndarray, method: str) -> None:
    r"""Move the reference energies of some elements to fit what the potential leaves of the labelled energies.

    .. math:: \min_\delta \sum_s \left(E_s - E_s^\text{potential} - \sum_e n_{se} \delta_e\right)^2

    of the smallest norm where the compositions leave a choice; method "mean": the same move for every element.
    """
    energies = examples.labels.energy.cpu().numpy()
    labelled = np.isfinite(energies)
    if not chosen.any() or not labelled.any():
        return
    predicted = np.concatenate(
        [
            evaluate(potential, batch, forces=False, features=features, pair_terms=False).energy.cpu().numpy()
            for batch, _, features in (examples.take(chunk) for chunk in examples.chunks())
        ]
    )
    whole = examples.atoms.whole
    counts = np.zeros((len(energies), len(potential.elements)))
    element = potential.descriptor.index_of_number.cpu()[whole.numbers]
    np.add.at(counts, (whole.structure.numpy(), element.numpy()), 1.0)
    counts = counts[:, chosen]
    if method == "mean":
        counts = counts.sum(axis=1, keepdims=True)
    moves = np.linalg.lstsq(counts[labelled], (energies - predicted)[labelled], rcond=None)[0]
    potential.reference_energies[torch.from_numpy(chosen)] += torch.from_numpy(moves).to(potential.device)


def _model_of(start: Potential, provenance: dict[str, Any]) -> Model:
    """The model section a potential was trained with, or one that says the same if that is not known any more."""
    values = provenance.get("config", {}).get("model")
    if values is not None:
        try:
            return Model.model_validate({name: values[name] for name in KEPT_SECTIONS if name in values})
        except (ValueError, KeyError):  # of another version
            pass
    shapes = zip(start.networks.hidden, start.networks.activation, strict=True)
    networks = [{"hidden": widths, "activation": short_activation(names)} for widths, names in shapes]
    overrides = {symbol(z): shape for z, shape in zip(start.elements, networks, strict=True)}
    return Model(
        descriptor=(explicit_set(start.descriptor.functions),),
        networks=Networks.model_validate({**networks[0], "elements": overrides}),
        committee=Committee(members=start.members),
        baseline=None if start.baseline is None else PairModel.model_validate({"form": start.baseline.form.name}),
    )
