"""The features of a run's structures: kept for training, given to the scaling, looked through for redundancy."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

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

Place = Literal["memory", "device", "host", "disk", "off"]
PLACES: dict[Place, str] = {
    "memory": "kept in memory",
    "device": "kept in the memory of the device",
    "host": "kept in the memory of the host, each batch copied to the device while it computes with the one before",
    "disk": "kept on disk",
    "off": "computed in each step",
}
# Of a device's memory, what is left to everything but kept features: at least so many bytes, and this share of it.
LEAST_RESERVE, SHARE_OF_RESERVE = 1_000_000_000, 0.1


def place_of(cache: str, size: float, limit: float, device: tuple[float, float] | None, batch: float) -> Place:
    r"""Where features and Jacobians of `size` bytes are kept.

    On a CPU `cache` says it; "auto" is memory if they take at most `limit` bytes, else off. A GPU with
    `device` = (free, total) bytes keeps them itself if

    .. math:: size \, (1 + 2 b) \le free - \max(10^9, 0.1 \, total)

    where b is the share of the structures in a `batch`, whose rows a step holds once more, and products with them. Else
    they are kept on the host, for "auto" within the limit and if two batches, the next one too, fit on the device.
    """
    if cache in ("disk", "off"):
        return "disk" if cache == "disk" else "off"
    wanted = cache == "memory"
    if device is None:
        return "memory" if wanted or size <= limit else "off"
    room = device[0] - max(LEAST_RESERVE, SHARE_OF_RESERVE * device[1])
    if size * (1 + 2 * batch) <= room:
        return "device"
    return "host" if wanted or (size <= limit and size * 4 * batch <= room) else "off"


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
    size = bytes_of_features(descriptor, kept.values(), dtype)
    device, count = examples["train"].device, len(examples["train"])
    memory = torch.cuda.mem_get_info(device) if device.type == "cuda" else None
    batch = 1.0 if config.training.batch_size == "all" else min(1.0, config.training.batch_size / count)
    limit = 1e9 * config.training.cache_limit
    place = place_of(config.training.cache, size, limit, memory, batch)
    files: dict[str, ArrayFile | None] = {}
    if all(ranks.gathered(place in ("memory", "disk"))):
        files = _files(config, descriptor, kept, dtype, ranks, place == "disk")
        if None in files.values() and not ranks.alone:
            copies = max(ranks.gathered(len(ranks.neighbors)))
            logger.warning("the ranks of a machine cannot share memory here; each keeps all features: %d times", copies)
            if config.training.cache == "auto" and copies * size > limit:
                place = "off"
    logger.info(
        "features and Jacobians (%d functions, %.2f GB): %s",
        len(descriptor.functions),
        size / 1e9,
        PLACES[place],
    )
    if place != "off":
        mine = ranks.neighbors.index(ranks.rank), len(ranks.neighbors)
        for name, part in kept.items():
            file = files.get(name)
            turn = (0, 1) if file is None else mine
            jacobians, on_host = part.needs_gradients, place == "host"
            part.store = FeatureStore(
                descriptor, part.atoms, dtype, file, turn=turn, jacobians=jacobians, on_host=on_host
            )
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
