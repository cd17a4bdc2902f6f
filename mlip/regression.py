"""From a prepared run to a potential of a kind that is solved for at once, without epochs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mlip.assembly import repulsion_of
from mlip.config import Config
from mlip.elements import symbol
from mlip.featurization import features_by_element
from mlip.gpr.estimate import Cost, Size, cost_of_full, cost_of_sparse, largest_labels, largest_points, speed
from mlip.gpr.fit import Options, fit
from mlip.gpr.observations import Noise, size_of
from mlip.model.atomic import NoModel
from mlip.model.covariance import PARAMETERS, Covariance
from mlip.model.density import fitted_density
from mlip.model.potential import Potential
from mlip.model.ranges import fitted_ranges
from mlip.model.scaling import FeatureScaling, fitted_scaling
from mlip.preparation import Preparation
from mlip.structure import Structure
from mlip.training.examples import Examples

logger = logging.getLogger(__name__)


def solved_potential(ready: Preparation, *, quiet: bool = False) -> tuple[Potential, dict[str, Any]]:
    """The potential of model.kind gpr or pair, and what was found on the way.

    Raises:
        ValueError: it would take more memory than allowed, or has no solution in double precision.
    """
    if ready.config.model.kind == "gpr":
        return _gaussian_process(ready, quiet)
    # The pair potential itself was fitted in the preparation, as a baseline is.
    potential = Potential(
        ready.descriptor,
        FeatureScaling(len(ready.descriptor.elements), 0),
        NoModel(),
        ready.references,
        anchored=True,
        repulsion=repulsion_of(ready.config, ready.descriptor),
        baseline=ready.baseline,
    )
    return potential.to(ready.device), {}


def _gaussian_process(ready: Preparation, quiet: bool) -> tuple[Potential, dict[str, Any]]:
    config, train = ready.config, ready.examples["train"]
    features = features_by_element(ready.descriptor, train)
    anchored = config.model.reference_energies.method in ("isolated", "given")
    if anchored:
        train = _with_lone_atoms(ready)
    tables = [values for values in features if isinstance(values, torch.Tensor)]
    scaling = fitted_scaling(features, config.model.scaling)
    full, cost = planned(config, size_of(train, ready.descriptor))
    logger.info("Gaussian process: %s", cost)
    options = _options(config, full=full)
    references = torch.tensor(ready.references, dtype=torch.float64)
    bar = tqdm(total=len(train), desc="covariances", unit="structure", disable=quiet or not options.full, leave=False)
    step: Callable[[int], object] = bar.update
    with bar:
        fitted = fit(train, ready.descriptor, tables, scaling, references, options, step)
    found = fitted.hyperparameters
    logger.info(
        "Gaussian process of %d labels and %d environments; lengths %s, noise of forces %.2g meV/Å, signal %.3g eV",
        fitted.labels,
        fitted.points,
        ", ".join(f"{length:.3g}" for length in found.lengths),
        1e3 * options.noise.forces * found.noise**0.5 * found.signal,
        found.signal,
    )
    potential = Potential(
        ready.descriptor,
        scaling,
        fitted.kernels,
        ready.references,
        anchored=anchored,
        repulsion=repulsion_of(config, ready.descriptor),
        baseline=ready.baseline,
        ranges=fitted_ranges(features),
        density=fitted_density(features),
    )
    return potential.to(ready.device), {"gpr": {"form": "full" if options.full else "sparse", **fitted.results()}}


def _with_lone_atoms(ready: Preparation) -> Examples:
    """The training structures and a lone atom of each element with its reference energy, which is to be met."""
    there = {int(s.numbers[0]) for s in ready.targets if len(s) == 1 and not s.pbc.any() and s.energy is not None}
    atoms = [
        Structure(np.array([z]), np.zeros((1, 3)), energy=energy, origin=f"isolated {symbol(z)}")
        for z, energy in zip(ready.descriptor.elements, ready.references, strict=True)
        if z not in there
    ]
    return Examples([*ready.targets, *atoms], ready.descriptor.cutoff, ready.device)


def _options(config: Config, *, full: bool) -> Options:
    chosen = config.model.gpr
    parameters = {name: float(getattr(chosen.kernel, name)) for name in PARAMETERS[chosen.kernel.name]}
    return Options(
        covariance=Covariance(chosen.kernel.name, **parameters),
        full=full,
        points=chosen.inducing,
        selection=chosen.selection,
        hyperparameters=chosen.hyperparameters,
        structures=chosen.hyperparameter_structures,
        length=chosen.length,
        noise=Noise(**chosen.noise.model_dump()),
        signal=chosen.signal,
        coordinates=chosen.coordinates,
        variance_points=chosen.variance_points,
        seed=config.run.seed,
    )


def cost_in_words(ready: Preparation) -> dict[str, str]:
    """What a Gaussian process of the config will cost, for a person to look over; nothing for other kinds.

    Raises:
        ValueError: it takes more memory than allowed.
    """
    if ready.config.model.kind != "gpr":
        return {}
    return {"Gaussian process": planned(ready.config, size_of(ready.examples["train"], ready.descriptor))[1]}


def planned(config: Config, size: Size) -> tuple[bool, str]:
    """Whether all labels are the basis, and what it will cost.

    Raises:
        ValueError: the form that is asked for takes more memory than allowed.
    """
    chosen = config.model.gpr
    limit = 1e9 * chosen.memory_limit
    if chosen.coordinates is not None:
        size = size._replace(coordinates=min(size.coordinates, chosen.coordinates))
    points = min(chosen.inducing, size.atoms)
    full, sparse = cost_of_full(size), cost_of_sparse(size._replace(points=points))
    fits = full.bytes <= limit
    if chosen.form == "full" and not fits:
        most = largest_labels(size, limit)
        raise ValueError(
            f"model.gpr.form is full: {size.labels} labels take {_words(full)}, and memory_limit is "
            f"{chosen.memory_limit:g} GB. Within it fit {most} labels, about {most * size.structures // size.labels} "
            "structures like these: give fewer in data.split.train, raise model.gpr.memory_limit, or set "
            "model.gpr.form=sparse"
        )
    if chosen.form == "full" or (chosen.form == "auto" and fits):
        return True, f"full, {size.labels} labels, about {_words(full)}"
    if sparse.bytes > limit:
        raise ValueError(
            f"{size.labels} labels and {points} inducing environments take {_words(sparse)}, and "
            f"model.gpr.memory_limit is {chosen.memory_limit:g} GB. Within it fit {largest_points(size, limit)}: set "
            "model.gpr.inducing to that, raise the limit, or give fewer structures in data.split.train"
        )
    reason = "" if chosen.form == "sparse" else f"; a full one would take {full.bytes / 1e9:.1f} GB"
    return False, f"sparse, {size.labels} labels and {points} environments, about {_words(sparse)}{reason}"


def _words(cost: Cost) -> str:
    seconds = cost.seconds(speed())
    time = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"{cost.bytes / 1e9:.2g} GB and {time}"
