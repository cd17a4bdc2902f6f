"""What is fitted to training structures, from one pass over them in batches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from mlip.batch import AtomsBatch, Properties, pair_vectors
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.backends import fastest
from mlip.model.moments import Moments, moments_of
from mlip.training.examples import Examples
from mlip.training.loss_weights import Lengths, nearest_distances, volumes_per_atom


class Statistics(NamedTuple):
    """Of all structures of a part; S' of them have an energy, S'' have forces."""

    counts: Float[np.ndarray, "S1 E"]  # atoms of each element in structures with an energy
    energies: Float[np.ndarray, "S1"]  # eV, theirs
    squares: Float[np.ndarray, "S2"]  # eV²/Å², mean square force component of structures with forces
    lengths: Lengths
    shortest: float  # Å, infinite without pairs
    moments: list[Moments]  # of the features, by element


@torch.no_grad()
def statistics_of(examples: Examples, descriptor: ACSF, *, features: bool = True, quiet: bool = True) -> Statistics:
    """One pass over all structures; their features are looked at only if asked for."""
    counts, energies, squares = [], [], []
    nearest, volumes, shortest = (0, 0.0), (0, 0.0), float("inf")
    empty = torch.zeros(0, len(descriptor.functions), dtype=torch.float64)
    moments = [moments_of(empty) for _ in descriptor.elements]
    bar = tqdm(total=len(examples), unit="structure", desc="statistics", disable=quiet, delay=2, dynamic_ncols=True)
    for chunk in examples.chunks():
        batch, labels, kept = examples.take(chunk)
        element = descriptor.index_of_number[batch.numbers]
        known = torch.isfinite(labels.energy)
        counts.append(_counts(batch, element, len(descriptor.elements))[known.cpu().numpy()])
        energies.append(labels.energy[known].cpu().numpy())
        squares.append(_squares(batch, labels).cpu().numpy())
        distances, volume = nearest_distances(batch), volumes_per_atom(batch)
        nearest = nearest[0] + len(distances), nearest[1] + float(distances.sum())
        volumes = volumes[0] + len(volume), volumes[1] + float(volume.square().sum())
        shortest = min(shortest, float(distances.min())) if len(distances) else shortest
        if features:
            values = kept.features if kept else _computed(descriptor, batch)
            found = [moments_of(values[element == e].cpu()) for e in range(len(moments))]
            moments = [one.with_those_of(other) for one, other in zip(moments, found, strict=True)]
        bar.update(len(chunk))
    bar.close()
    return Statistics(
        np.concatenate(counts),
        np.concatenate(energies),
        np.concatenate(squares),
        Lengths(
            nearest[1] / nearest[0] if nearest[0] else float("nan"),
            float(np.sqrt(volumes[1] / volumes[0])) if volumes[0] else None,
        ),
        shortest,
        moments,
    )


def _computed(descriptor: ACSF, batch: AtomsBatch) -> Tensor:
    vectors = pair_vectors(batch)
    features: Tensor = fastest(descriptor, vectors.device)(batch.numbers, batch.pairs, vectors)
    return features


def _counts(batch: AtomsBatch, element: Tensor, elements: int) -> Float[np.ndarray, "S E"]:
    counts = torch.zeros(len(batch.cell), elements, dtype=torch.float64, device=element.device)
    counts.index_put_((batch.structure, element), counts.new_ones(len(element)), accumulate=True)
    return counts.cpu().numpy()


def _squares(batch: AtomsBatch, labels: Properties) -> Float[Tensor, "_"]:
    assert labels.forces is not None
    sums = labels.forces.new_zeros(len(batch.cell)).index_add(0, batch.structure, labels.forces.square().mean(dim=1))
    means = sums / torch.bincount(batch.structure, minlength=len(batch.cell))
    return means[torch.isfinite(means)]
