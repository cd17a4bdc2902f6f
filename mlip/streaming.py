"""Preparation of a run whose data are a store (`mlip prepare`) that does not fit into memory."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from mlip import preparation
from mlip.assembly import explicit_set, functions_of, network_shapes, reference_energies_of, repulsion_of, scale_of
from mlip.baseline import baseline_of
from mlip.config import Config
from mlip.config.descriptor import AutoSet
from mlip.data.digest import add_structures
from mlip.data.read import detect_format, read_structures
from mlip.data.selection import selected
from mlip.data.split import Split
from mlip.data.store import StoredStructures, open_store
from mlip.data.store_file import StoreFile, differences
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import function_from_dict
from mlip.elements import symbols
from mlip.model.potential import Potential
from mlip.model.reference import references_of_counts
from mlip.model.targets import less_pair_term
from mlip.preparation import LABELS, PARTS, Parts, Preparation
from mlip.reading import read_options
from mlip.structure import Structure
from mlip.training.examples import Examples
from mlip.training.pools import Source
from mlip.training.statistics import Statistics, statistics_of
from mlip.training.streamed import StreamedExamples, Window

logger = logging.getLogger(__name__)

SHARE_OF_A_POOL = 0.4  # of what is left of the memory limit; two are there, and a chunk on its way into one
MOST_FITTED = 1000  # training structures to which a baseline is fitted
SHARE_OF_VALID = 0.25  # up to which validation structures stay in memory


@dataclass(frozen=True)
class StreamedParts(Parts):
    """The structures of a run, each read when it is asked for."""

    checksums: bytes = b""  # of the store

    def fingerprint(self) -> str:
        """A hash of the store and of what is used of it."""
        digest = hashlib.sha256(self.checksums)
        for part in (self.train, self.valid, self.test):
            if isinstance(part, StoredStructures):
                digest.update(part.places.tobytes() + b"|")
            else:
                add_structures(digest, part)
        return digest.hexdigest()


@dataclass(frozen=True)
class StreamedPreparation(Preparation):
    """A run that is ready to begin; its training structures are read while they are used."""

    statistics: Statistics | None = None

    @property
    def energy_scale(self) -> float:
        """The size of what the networks learn (eV), as `assembly.energy_scale` has it."""
        assert self.statistics is not None
        per_atom = self.statistics.energies / self.statistics.counts.sum(axis=1)
        return scale_of(self.statistics.squares.tolist(), per_atom.tolist())

    def summary(self) -> dict[str, Any]:
        """What was found, for a person to look over."""
        train = self.examples["train"]
        assert isinstance(train, StreamedExamples) and self.statistics is not None
        return {
            "structures": {name: len(self.examples[name]) for name in PARTS},
            "elements": symbols(self.descriptor.elements),
            "shortest distance (Å)": round(self.statistics.shortest, 3),
            "symmetry functions": len(self.descriptor.functions),
            "streamed from": self.config.data.train,
            "pools": f"{train.pools} of at most {train.pool_bytes / 1e9:.3f} GB",
            "features": "stored" if train.window.source.descriptor else "computed in each step",
            "device": str(self.device),
            "run folder": self.config.run.dir,
        }


class Survey:
    """Which labels and elements the structures of a store have, found in one pass over its chunks."""

    def __init__(self, file: StoreFile) -> None:
        self.known = np.zeros((len(file), len(LABELS)), dtype=np.int64)  # components of each kind
        self.elements = np.zeros((len(file), 128), dtype=bool)
        start = file.starts["atom"]
        for chunk in range(file.chunks):
            first, last = file.structures_of(chunk)
            owner = np.repeat(np.arange(first, last), np.diff(start[first : last + 1]))
            self.elements[owner, file.read_chunk("numbers", chunk)] = True
            for column, name in enumerate(LABELS):
                finite = np.isfinite(file.read_chunk(name, chunk)).reshape(-1)
                rows = owner if name == "forces" else np.arange(first, last)
                self.known[first:last, column] = np.bincount(
                    np.repeat(rows - first, len(finite) // max(1, len(rows))), finite, last - first
                )

    def labels(self, places: np.ndarray) -> Int[Tensor, "3 n"]:
        """How many components of energy, forces and stress each of these structures has."""
        return torch.from_numpy(self.known[places].T.copy())

    def numbers(self, places: np.ndarray) -> list[int]:
        """Atomic numbers in these structures."""
        found: list[int] = np.flatnonzero(self.elements[places].any(axis=0)).tolist()
        return found


def prepare(config: Config, saved: Potential | None = None, device: torch.device | None = None) -> Preparation:
    """Read and check everything the config names; a store that does not fit into memory is left where it is.

    `saved` and `device` as in `preparation.prepare`.

    Raises:
        ValueError: config and data do not fit together; the message says what and where.
    """
    path = Path(config.data.train)
    named = config.data.format in ("auto", "store") and path.is_file() and path.stat().st_size > 0
    if not (named and (config.data.format == "store" or detect_format(path) == "store")):
        return preparation.prepare(config, saved, device)
    with open_store(path, read_options(config.data, index=config.data.index)) as store:
        wanted = np.asarray(selected(config.data.index, len(store), store.path.name))
        sizes = Source(store, torch.device("cpu"), _descriptor_of(store)).bytes_per_structure
        needed = float(sizes[wanted].sum()) / 1e9
    limit = config.training.memory_limit
    if needed <= limit:
        return preparation.prepare(config, saved, device)
    logger.info("%s: %.2f GB do not fit into training.memory_limit of %g GB, so it is streamed", path, needed, limit)
    device = preparation.require_runnable(config, device)
    return _prepare(config, saved, open_store(path, read_options(config.data, index=config.data.index)), device)


def _prepare(config: Config, saved: Potential | None, store: StoreFile, device: torch.device) -> Preparation:
    """The same for a store that does not fit."""
    _require_streamable(config)
    survey = Survey(store)
    split, places = _places(config, store)
    known = {name: survey.labels(places[name]) for name in PARTS}
    outside = {name: read_structures(path, read_options(config.data)) for name, path in _files(config).items()}
    lazy: dict[str, Any] = {name: StoredStructures(store, places[name]) for name in PARTS}
    parts = StreamedParts(**{**lazy, **outside}, split=split, checksums=store.fingerprint())
    kinds = {name: {kind for kind, row in zip(LABELS, known[name], strict=True) if row.any()} for name in PARTS}
    kinds |= {name: preparation.labels_of(structures) for name, structures in outside.items()}
    preparation.require_learnable(config, kinds["train"], kinds["valid"] if len(parts.valid) else None)
    config = _with_stored_functions(config, store)
    elements = survey.numbers(places["train"])
    _require_known(store, survey, elements, places, outside)
    descriptor = ACSF(elements, functions_of(config, elements)).to(device)
    network_shapes(config, elements)
    stored = _stored_features(config, store, descriptor)
    repulsion = repulsion_of(config, descriptor)
    some = [parts.train[i] for i in _evenly(len(parts.train))]
    baseline = baseline_of(config, descriptor, less_pair_term(some, repulsion), saved)
    terms = tuple(term for term in (repulsion, baseline) if term is not None)
    source = Source(store, device, stored, terms)
    examples = _examples(config, source, places, known)
    for name, structures in outside.items():
        for term in terms:
            structures = less_pair_term(structures, term)
        examples[name] = Examples(structures, descriptor.cutoff, device)
    train = examples["train"]
    assert isinstance(train, StreamedExamples)
    bare = Source(store, device, stored, terms, jacobians=False)
    once = StreamedExamples(Window(bare), places["train"], train.pool_bytes, known["train"])
    quiet = not logger.isEnabledFor(logging.INFO)
    train.statistics = found = statistics_of(once, descriptor, features=saved is None, quiet=quiet)
    if not train.pairs:
        raise ValueError(
            f"{config.data.train}: no atom has a neighbor within {descriptor.cutoff} Å; nothing can be learned"
        )
    method = config.model.reference_energies.method
    if method in ("least_squares", "mean"):
        references = references_of_counts(found.counts, found.energies, method)
    else:
        references = reference_energies_of(config, (), _lone_atoms(store), elements)
    return StreamedPreparation(
        config, parts, device, descriptor, [], examples, references, baseline=baseline, statistics=found
    )


def _evenly(count: int) -> list[int]:
    """Places of the structures that a baseline is fitted to."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_FITTED)).round().astype(int)).tolist()


def _require_streamable(config: Config) -> None:
    reasons = {
        "model.kind is not network": config.model.kind != "network",
        "training.batch_size is all, which needs all structures at once": config.training.batch_size == "all",
        "training.start_from is given, and fine-tuning works in memory": config.training.start_from is not None,
    }
    for reason, holds in reasons.items():
        if holds:
            raise ValueError(
                f"{config.data.train}: does not fit into training.memory_limit of {config.training.memory_limit} GB, "
                f"and {reason}. Raise the limit, or change that"
            )


def _files(config: Config) -> dict[str, str]:
    given = {"valid": config.data.valid, "test": config.data.test}
    return {name: path for name, path in given.items() if path is not None}


def _places(config: Config, store: StoreFile) -> tuple[Split, dict[str, np.ndarray]]:
    """How data.train is divided, and where the structures of each part stand in the store."""
    wanted = np.asarray(selected(config.data.index, len(store), store.path.name))
    split = preparation.split_of(config, len(wanted))
    for name in _files(config):
        if getattr(split, name):
            preparation.refuse_two_sources(config, name)
    return split, {name: wanted[np.asarray(numbers, dtype=np.int64)] for name, numbers in split._asdict().items()}


def _examples(
    config: Config, source: Source, places: Mapping[str, np.ndarray], known: Mapping[str, Int[Tensor, "3 n"]]
) -> dict[str, Examples]:
    """Validation structures in memory if they take little of the limit, all others streamed."""
    limit = config.training.memory_limit * 1e9
    sizes = source.bytes_per_structure
    held = float(sizes[places["valid"]].sum())
    hold = held <= SHARE_OF_VALID * limit
    pool = int(SHARE_OF_A_POOL * (limit - held * hold))
    chunk = source.file.plan["chunk"]
    largest = max(np.add.reduceat(sizes, np.arange(0, len(sizes), chunk)))
    if largest > pool:
        raise ValueError(
            f"training.memory_limit is {config.training.memory_limit} GB, and a chunk of {source.file.path} takes "
            f"{largest / 1e9:.2g} GB in memory, where {pool / 1e9:.2g} GB are left for those at work. Raise the limit, "
            f"or prepare the store with fewer than {chunk} structures in a chunk (--chunk)"
        )
    window = Window(source)
    made: dict[str, Examples] = {}
    for name, chosen in places.items():
        if not len(chosen):
            made[name] = Examples([], 1.0, source.device)
        elif name == "valid" and hold:
            made[name] = source.read(np.sort(chosen))
        else:
            made[name] = StreamedExamples(window, chosen, pool, known[name])
    return made


def _descriptor_of(store: StoreFile) -> ACSF | None:
    """That of the features in a store, if it has any."""
    plan = store.plan
    return ACSF(plan["elements"], list(map(function_from_dict, plan["functions"]))) if plan["features"] else None


def _with_stored_functions(config: Config, store: StoreFile) -> Config:
    """The config with the store's functions in place of `auto`, which chose them when the store was made."""
    if not any(isinstance(chosen, AutoSet) for chosen in config.model.descriptor):
        return config
    logger.info("model.descriptor is auto: the %d functions are those of the store", len(store.plan["functions"]))
    sets = (explicit_set(list(map(function_from_dict, store.plan["functions"]))),)
    return config.model_copy(update={"model": config.model.model_copy(update={"descriptor": sets})})


def _stored_features(config: Config, store: StoreFile, descriptor: ACSF) -> ACSF | None:
    """The descriptor if the store's features are to be used.

    Raises:
        ValueError: its pairs or features are those of another descriptor.
    """
    functions = [function.as_dict() for function in descriptor.functions]
    ours = json.loads(
        json.dumps({"cutoff": descriptor.cutoff, "elements": list(descriptor.elements), "functions": functions})
    )
    wanted = store.plan["features"] and config.training.cache != "off"
    stale = differences(ours, store.plan, ("cutoff", "elements", "functions") if wanted else ("cutoff",))
    if stale:
        cure = (
            ", or set training.cache=off to compute features"
            if wanted and ours["cutoff"] == store.plan["cutoff"]
            else ""
        )
        raise ValueError(
            f"{store.path}: was prepared for another descriptor. The config now has {'; '.join(stale)}. "
            f"Make the store again: mlip prepare{cure}"
        )
    if not wanted:
        logger.info("features and Jacobians (%d functions): computed in each step", len(functions))
        return None
    if store.plan["dtype"] != config.run.dtype:
        logger.info(
            "the store's features are %s and run.dtype is %s, so they are computed in each step; prepare it with this "
            "run.dtype to have them read",
            store.plan["dtype"],
            config.run.dtype,
        )
        return None
    logger.info("features and Jacobians (%d functions): read from the store", len(functions))
    return descriptor


def _require_known(
    store: StoreFile,
    survey: Survey,
    elements: list[int],
    places: Mapping[str, np.ndarray],
    outside: Mapping[str, list[Structure]],
) -> None:
    """See that validation and test structures hold only elements of the training structures."""
    strange = np.delete(survey.elements, elements, axis=1).sum(axis=1) > 0
    for name in ("valid", "test"):
        stranger = StoredStructures(store, places[name][strange[places[name]]])[:1]
        preparation.require_known(set(elements), [*stranger, *outside.get(name, ())], "training structure")


def _lone_atoms(store: StoreFile) -> StoredStructures:
    return StoredStructures(store, np.flatnonzero(np.diff(store.starts["atom"]) == 1))
