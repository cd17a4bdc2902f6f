"""Labelled structures of many kinds, and Gaussian processes of them with plain settings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from physics import zoo

from mlip.batch import collate, pair_vectors, to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import Wide
from mlip.gpr.fit import Fitted, Options, fit, projections
from mlip.gpr.observations import Family, Noise, families_of
from mlip.model.coordinates import Coordinates
from mlip.model.covariance import Covariance
from mlip.model.evaluate import evaluate
from mlip.model.potential import Potential
from mlip.model.scaling import FeatureScaling, fitted_scaling
from mlip.structure import Structure
from mlip.training.examples import Examples

CPU = torch.device("cpu")
COVARIANCES = {
    "squared_exponential": Covariance("squared_exponential"),
    "rational_quadratic": Covariance("rational_quadratic", alpha=1.7),
    "polynomial": Covariance("polynomial", zeta=3.0),
}
NOISE = Noise(1e-5, 1e-4, 1e-5)
REFERENCES = torch.tensor([-3.0, -7.5, 5.0], dtype=torch.float64)
OPTIONS = Options(
    covariance=COVARIANCES["squared_exponential"], full=True, points=20, selection="farthest", hyperparameters="given",
    structures=4, length=2.0, noise=NOISE, signal=1.0, coordinates=None, variance_points=0, seed=0,
)  # fmt: skip
TEACHER = zoo.potential([*zoo.radial(4.0), *zoo.behler(Wide)[:6]], 3)
STRAIGHT = Structure(np.array([8, 6, 8]), np.array([[-1.2, 0, 0], [0, 0, 0], [1.2, 0, 0]]) + 0.3, origin="straight")


def labelled(structure: Structure) -> Structure:
    """With energy, forces and, if it has one, stress of a network."""
    found = evaluate(TEACHER, to_batch(structure, TEACHER.cutoff)[0])
    stress = found.stress[0].numpy()
    return replace(
        structure,
        energy=float(found.energy[0]),
        forces=found.forces.numpy(),
        stress=stress if np.isfinite(stress).all() else None,
    )


def moved(structure: Structure, seed: int, by: float = 0.08) -> Structure:
    """The same with other positions."""
    shifts = by * np.random.default_rng(seed).normal(size=structure.positions.shape)
    return replace(structure, positions=structure.positions + shifts)


def partly(structure: Structure) -> Structure:
    """The force on its second atom is not known (`known_forces`)."""
    return replace(structure, info={"unknown": 1})


def known_forces(structure: Structure) -> np.ndarray:
    """Forces as examples have them, NaN where they are not known; no file has that, but examples may."""
    forces = np.full_like(structure.positions, np.nan) if structure.forces is None else structure.forces.copy()
    if "unknown" in structure.info:
        forces[structure.info["unknown"]] = np.nan
    return forces


def everything() -> list[Structure]:
    """Compositions, periodicities, missing labels, a straight molecule, lone atoms, and several of a family."""
    whole = [labelled(structure) for structure in (*zoo.MIXED, STRAIGHT)]
    molecule = [labelled(moved(zoo.STRUCTURES["molecule"], seed)) for seed in range(8)]
    crystal = [labelled(moved(zoo.STRUCTURES["triclinic"], seed)) for seed in (8, 9)]
    return [
        *whole, *molecule[:4], crystal[0], partly(molecule[4]), replace(molecule[5], energy=None),
        replace(molecule[6], forces=None), replace(crystal[1], energy=None, forces=None),
        replace(molecule[7], energy=None, forces=None),
    ]  # fmt: skip


class Seen(NamedTuple):
    """Structures as a fit sees them."""

    examples: Examples
    scaling: FeatureScaling
    features: list[torch.Tensor]
    descriptor: ACSF = TEACHER.descriptor

    def coordinates(self, covariance: Covariance, length: float = 2.0) -> Coordinates:
        return Coordinates(covariance, [W / length for W in projections(self.features, self.scaling, None)])

    def families(self, covariance: Covariance, length: float = 2.0, noise: Noise = NOISE) -> list[Family]:
        coordinates = self.coordinates(covariance, length)
        places = range(len(self.examples))
        return families_of(self.examples, places, self.descriptor, self.scaling, coordinates, REFERENCES, noise)

    def fit(self, **options: object) -> Fitted:
        chosen = replace(OPTIONS, **options)
        return fit(self.examples, self.descriptor, self.features, self.scaling, REFERENCES, chosen)

    def potential(self, **options: object) -> Potential:
        return Potential(self.descriptor, self.scaling, self.fit(**options).kernels, REFERENCES.tolist())


def seen(structures: Sequence[Structure]) -> Seen:
    examples, descriptor = Examples(structures, TEACHER.cutoff, CPU), TEACHER.descriptor
    forces = torch.from_numpy(np.concatenate([known_forces(structure) for structure in structures]))
    examples = Examples.of(examples.atoms, examples.labels._replace(forces=forces), CPU)
    batch = examples.atoms.whole
    features = descriptor(batch.numbers, batch.pairs, pair_vectors(batch)).detach()
    by_element = [features[batch.numbers == z] for z in zoo.ELEMENTS]
    return Seen(examples, fitted_scaling(by_element, "half"), by_element)


def together(structures: Sequence[Structure]):
    """All structures as one batch."""
    return collate([to_batch(structure, TEACHER.cutoff)[0] for structure in structures])


def cartesian(batch, given, count):
    """In place of inner motions: each component of each atom."""
    return torch.eye(len(given), dtype=torch.float64)[:, given].expand(count, -1, -1)
