"""The features of a run's structures: kept for training, given to the scaling, looked through for redundancy."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from mlip.batch import pair_vectors
from mlip.config import Config
from mlip.descriptors.acsf import ACSF, applies
from mlip.descriptors.backends import fastest
from mlip.descriptors.disk import ArrayFile
from mlip.descriptors.redundancy import redundant_functions
from mlip.descriptors.store import FeatureStore, shapes_of
from mlip.elements import symbol
from mlip.model.moments import Moments
from mlip.preparation import bytes_of_features
from mlip.training.distributed import ALONE, Ranks
from mlip.training.examples import Examples
from mlip.training.shared_arrays import arrays_in_memory, arrays_on_disk
from mlip.training.streamed import StreamedExamples

logger = logging.getLogger(__name__)


@contextmanager
def kept_features(
    config: Config, descriptor: ACSF, examples: Mapping[str, Examples], ranks: Ranks = ALONE
) -> Iterator[None]:
    """Features and Jacobians of training and validation structures, computed once and kept for a while, if asked to.

    `ranks` that share a machine's memory share what is kept there, and the work; those with GPUs have it each on its
    own.
    """
    if isinstance(examples["train"], StreamedExamples):  # those in the store are read with it
        yield
        return
    dtype = getattr(torch, config.run.dtype)
    kept = {name: part for name, part in examples.items() if name != "test" and len(part)}
    size = bytes_of_features(descriptor, kept.values(), dtype) / 1e9
    place, limit = config.training.cache, config.training.cache_limit
    if place == "auto":
        place = "memory" if size <= limit else "off"
    files: dict[str, ArrayFile | None] = {}
    if place != "off" and all(ranks.gathered(examples["train"].device.type == "cpu")):
        files = _files(config, descriptor, kept, dtype, ranks, place == "disk")
        if None in files.values() and not ranks.alone:
            copies = max(ranks.gathered(len(ranks.neighbors)))
            logger.warning("the ranks of a machine cannot share memory here; each keeps all features: %d times", copies)
            if config.training.cache == "auto" and copies * size > limit:
                place = "off"
    logger.info(
        "features and Jacobians (%d functions, %.2f GB): %s",
        len(descriptor.functions),
        size,
        {"memory": "kept in memory", "disk": "kept on disk", "off": "computed in each step"}[place],
    )
    if place != "off":
        mine = ranks.neighbors.index(ranks.rank), len(ranks.neighbors)
        for name, part in kept.items():
            file = files.get(name)
            turn = (0, 1) if file is None else mine
            part.store = FeatureStore(descriptor, part.atoms, dtype, file, turn=turn, jacobians=part.needs_gradients)
        ranks.wait()  # until all have filled their part
    try:
        yield
    finally:
        for part in kept.values():
            part.store = None  # and with it what it lies in


def _files(
    config: Config, descriptor: ACSF, kept: Mapping[str, Examples], dtype: torch.dtype, ranks: Ranks, on_disk: bool
) -> dict[str, ArrayFile | None]:
    """What the ranks of a machine have in common for each part; None where there is nothing to share."""
    kind = torch.empty(0, dtype=dtype).numpy().dtype
    found: dict[str, ArrayFile | None] = {}
    for name, part in kept.items():
        shapes = shapes_of(descriptor, part.atoms, jacobians=part.needs_gradients)
        if on_disk:
            found[name] = arrays_on_disk(ranks, Path(config.run.dir) / f"features_{name}", shapes, kind)
        else:
            found[name] = None if ranks.alone else arrays_in_memory(ranks, shapes, kind)
    return found


def features_by_element(descriptor: ACSF, examples: Examples) -> Sequence[Tensor | Moments]:
    """Features of the training atoms, one float64 tensor per element; kept ones have the precision they are kept in.

    Of streamed examples only the moments are known.
    """
    if isinstance(examples, StreamedExamples):
        assert examples.statistics is not None
        return examples.statistics.moments
    numbers = examples.atoms.whole.numbers
    if examples.store:
        features = examples.store.features.cpu()
    else:
        parts = []
        with torch.no_grad():
            for chunk in examples.chunks():
                batch = examples.take(chunk)[0]
                vectors = pair_vectors(batch)
                parts.append(fastest(descriptor, vectors.device)(batch.numbers, batch.pairs, vectors).cpu())
        features = torch.cat(parts)
    return [features[numbers == z].double() for z in descriptor.elements]


def report_redundancy(features: Sequence[Tensor | Moments], descriptor: ACSF) -> None:
    """Log the functions that are constant on the training data or repeat another, as far as their values are known."""
    for number, values in zip(descriptor.elements, features, strict=True):
        if isinstance(values, Moments):
            continue
        columns = [d for d, function in enumerate(descriptor.functions) if applies(function, number)]
        messages = redundant_functions(values[:, columns].numpy(), [descriptor.functions[d] for d in columns])
        if messages:
            logger.info(
                "%s: %d of %d functions are constant on the data or repeat another, at a cost of time; e.g. %s",
                symbol(number),
                len(messages),
                len(columns),
                messages[0],
            )
