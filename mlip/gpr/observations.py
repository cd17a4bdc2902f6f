"""Labelled structures as a Gaussian process sees them: energies, and derivatives of energies along motions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mlip.batch import AtomsBatch, Properties, pair_vectors
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.backends import fastest
from mlip.gpr.estimate import Size
from mlip.model.assembly import Sites
from mlip.model.coordinates import VOIGT, Coordinates
from mlip.model.scaling import FeatureScaling
from mlip.training.examples import Examples

PAIRS_AT_ONCE = 20_000  # whose Jacobian is held at once


class Noise(NamedTuple):
    """Standard deviations that labels are expected to have from the model, in the labels' units."""

    energy: float  # eV per atom
    forces: float  # eV/Å
    stress: float  # eV/Å³


class Family(NamedTuple):
    """S structures with the same number of atoms of each element and the same kinds of labels."""

    structure: Int[np.ndarray, "S"]
    sites: Sites  # with motions along which derivatives of the energy are known
    values: Float[Tensor, "S L"]  # energy less that of its atoms (eV), derivatives (eV/Å, eV); L = K or K + 1
    variance: Float[Tensor, "S L"]  # of the noise, squares of these units


class _Known(NamedTuple):
    """What is known of a structure; structures of a family have the same."""

    counts: tuple[int, ...]  # atoms of each element
    energy: bool
    forces: bytes  # which components
    stress: bool


def families_of(
    examples: Examples,
    structures: Sequence[int],
    descriptor: ACSF,
    scaling: FeatureScaling,
    coordinates: Coordinates,
    references: Float[Tensor, "E"],
    noise: Noise,
) -> list[Family]:
    """What is known of these structures, less the energies of their atoms, family by family.

    Forces of an isolated structure are given along its inner motions, and those of a periodic one without its
    translations: the rest is zero for every potential, and only makes matrices larger.
    """
    alike: dict[_Known, list[int]] = {}
    for n in structures:
        batch, labels = examples.atoms.take([n]), examples.labels_of([n])
        known = _known(descriptor, batch, labels)
        if known.energy or known.stress or any(known.forces):
            alike.setdefault(known, []).append(n)
    found = []
    for known, members in alike.items():
        parts = [
            _family(examples, chunk, known, descriptor, scaling, coordinates)
            for chunk in examples.chunks(members, PAIRS_AT_ONCE)
        ]
        found += _joined(parts, known, references, noise)
    return found


def _known(descriptor: ACSF, batch: AtomsBatch, labels: Properties) -> _Known:
    assert labels.forces is not None and labels.stress is not None
    element = descriptor.index_of_number[batch.numbers.cpu()]
    return _Known(
        tuple(torch.bincount(element, minlength=len(descriptor.elements)).tolist()),
        bool(torch.isfinite(labels.energy)[0]),
        torch.isfinite(labels.forces).numpy().tobytes(),
        bool(torch.isfinite(labels.stress).all()),
    )


class _Part(NamedTuple):
    structure: Sequence[int]
    points: list[Tensor]
    changes: list[Tensor]
    energy: Tensor
    derivatives: Tensor  # (S,K)
    volume: Tensor  # (S,)


def _family(
    examples: Examples,
    members: Sequence[int],
    known: _Known,
    descriptor: ACSF,
    scaling: FeatureScaling,
    coordinates: Coordinates,
) -> _Part:
    batch, labels = examples.atoms.take(members), examples.labels_of(members)
    assert labels.forces is not None and labels.stress is not None
    count, atoms = len(members), sum(known.counts)
    vectors = pair_vectors(batch)
    element = descriptor.index_of_number[batch.numbers]
    given = torch.from_numpy(np.frombuffer(known.forces, bool).copy())
    backend = fastest(descriptor, vectors.device)
    found = coordinates.environments(
        scaling, backend, batch, vectors, element, motions=bool(given.any()), strain=known.stress
    )
    derivatives = -labels.forces.double().view(count, -1)
    if given.any():
        frames = _frames(batch, given, count)
        derivatives = torch.einsum("sc,sck->sk", derivatives.nan_to_num(), frames)
    else:
        frames, derivatives = torch.zeros(count, 0, 0, dtype=torch.float64), derivatives[:, :0]
    moved = frames.shape[1]
    points, changes = [], []
    for e, environments in enumerate(found):
        shape, (_, motions, width) = (count, known.counts[e]), environments.changes.shape
        points.append(environments.points.view(*shape, width))
        along = environments.changes.view(*shape, motions, width)
        inner = torch.einsum("snkc,skm->snmc", along[:, :, :moved], frames)
        changes.append(torch.cat([inner, along[:, :, moved:]], dim=2))
    volume = torch.linalg.det(batch.cell).abs()
    if known.stress:
        a, b = map(list, zip(*VOIGT, strict=True))
        virial = labels.stress.double()[:, a, b] * volume[:, None]
        derivatives = torch.cat([derivatives, virial], dim=1)
    assert moved in (0, 3 * atoms)
    return _Part(members, points, changes, labels.energy, derivatives, volume)


def _frames(batch: AtomsBatch, given: Bool[Tensor, "c"], count: int) -> Float[Tensor, "S c K"]:
    """Orthonormal motions (columns) of each structure along which derivatives are known and can be other than zero."""
    atoms = len(batch.numbers) // count
    if not given.all():
        return torch.eye(3 * atoms, dtype=torch.float64)[:, given].expand(count, -1, -1)
    positions = batch.positions.view(count, atoms, 3)
    rigid = torch.eye(3, dtype=torch.float64).repeat(atoms, 1).expand(count, -1, -1)
    if not batch.cell.any():
        centered = positions - positions.mean(dim=1, keepdim=True)
        axes = torch.eye(3, dtype=torch.float64)
        turns = [torch.linalg.cross(axis.expand_as(centered), centered).reshape(count, -1) for axis in axes]
        rigid = torch.cat([rigid, torch.stack(turns, dim=2)], dim=2)
    left, size, _ = torch.linalg.svd(rigid, full_matrices=True)
    rank = int((size > 1e-6 * size[:, :1]).sum(dim=1).min())  # an atom or a straight molecule turns less
    return left[:, :, rank:]


def _joined(parts: Sequence[_Part], known: _Known, references: Tensor, noise: Noise) -> list[Family]:
    """The parts as one family; several where straight molecules have another number of motions than bent ones."""
    found = []
    counts = torch.tensor(known.counts, dtype=torch.float64)
    for width in sorted({part.derivatives.shape[1] for part in parts}):
        mine = [part for part in parts if part.derivatives.shape[1] == width]
        energy, derivatives, volume = (
            torch.cat([getattr(p, k) for p in mine]) for k in ("energy", "derivatives", "volume")
        )
        variance = torch.full_like(derivatives, noise.forces**2)
        if known.stress:
            variance[:, -6:] = (noise.stress * volume[:, None]) ** 2
        if known.energy:
            derivatives = torch.cat([(energy - counts @ references)[:, None], derivatives], dim=1)
            variance = torch.cat(
                [torch.full((len(energy), 1), float(counts.sum()) * noise.energy**2, dtype=torch.float64), variance],
                dim=1,
            )
        rows = np.concatenate([part.structure for part in mine])
        found.append(
            Family(
                rows,
                Sites(
                    [torch.cat([part.points[e] for part in mine]) for e in range(len(counts))],
                    [torch.cat([part.changes[e] for part in mine]) for e in range(len(counts))],
                    known.energy,
                ),
                derivatives,
                variance,
            )
        )
    return found


def size_of(examples: Examples, descriptor: ACSF) -> Size:
    """How much there is to learn from, at most: forces along inner motions, as if every molecule were straight."""
    energies, forces, stress = (int(count) for count in examples.known.sum(dim=1))
    rigid = torch.where(examples.atoms.whole.cell.flatten(1).any(dim=1), 3, 5)
    fewer = int(torch.minimum(rigid, examples.known[1]).sum())
    atoms = len(examples.atoms.whole.numbers)
    coordinates = len(descriptor.functions)
    return Size(energies + forces - fewer + stress * 6 // 9, len(examples), atoms, coordinates)
