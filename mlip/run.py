"""From a config to a trained potential: the only file that knows both the config and the objects."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlip.assembly import functions_of, make_potential, plan_of, read_options, reference_energies_of
from mlip.batch import pair_vectors
from mlip.config import Config
from mlip.configfile import as_yaml, load_config
from mlip.data.read import read_structures
from mlip.data.split import Split, read_split, split_indices, write_split
from mlip.descriptors.acsf import ACSF, applies
from mlip.descriptors.parameters import redundant_functions
from mlip.descriptors.store import FeatureStore, bytes_needed
from mlip.device import device_of
from mlip.elements import symbol, symbols
from mlip.model.checkpoint import POTENTIAL_FILE, load_content, potential_from, save_potential
from mlip.model.potential import Potential
from mlip.structure import Structure
from mlip.training.examples import Examples
from mlip.training.loop import CHECKPOINT_FILE, METRICS_FILE, Trainer, evaluate_examples
from mlip.training.optimizers import make_optimizer

logger = logging.getLogger(__name__)

PARTS = ("train", "valid", "test")
CONFIG_FILE, SPLIT_FILE, RESULTS_FILE, ENVIRONMENT_FILE = (
    "config.yaml",
    "split.json",
    "results.json",
    "environment.json",
)


@dataclass(frozen=True)
class Parts:
    """The structures of a run, and where in data.train they stand (empty for a part from its own file)."""

    train: list[Structure]
    valid: list[Structure]
    test: list[Structure]
    split: Split

    def fingerprint(self) -> str:
        """A hash of everything that was read; it tells whether the data changed since."""
        digest = hashlib.sha256()
        for part in (self.train, self.valid, self.test):
            for s in part:
                digest.update(s.numbers.tobytes() + s.positions.tobytes() + s.cell.tobytes() + s.pbc.tobytes())
                for label in (s.energy, s.forces, s.stress):
                    digest.update(b"-" if label is None else np.asarray(label, dtype=np.float64).tobytes())
            digest.update(b"|")
        return digest.hexdigest()


def train(config: Config, *, quiet: bool = False) -> dict[str, Any]:
    """Train a potential as the config says; the run folder then holds it. Returns what results.json holds.

    Raises:
        ValueError: config, data and run folder do not fit together; the message says what and where.
        Stopped: SIGINT or SIGTERM came; `resume` goes on.
    """
    folder = _new_folder(config)
    started = time.monotonic()
    parts = read_parts(config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(as_yaml(config), encoding="utf-8")
    (folder / ENVIRONMENT_FILE).write_text(json.dumps(environment(config), indent=1), encoding="utf-8")
    write_split(folder / SPLIT_FILE, parts.split)
    return _run(config, parts, folder, started, None, quiet)


def resume(folder: str | Path, *, quiet: bool = False) -> dict[str, Any]:
    """Go on with a run that was interrupted, from its last checkpoint to the end of its config.

    Raises:
        ValueError: the folder holds no run, or the data changed since it began.
    """
    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file():
        raise ValueError(f"{folder}: no {CONFIG_FILE} in it; expected the run folder of an earlier `mlip train`")
    config = load_config(folder / CONFIG_FILE)
    started = time.monotonic()
    parts = read_parts(config)
    potential = None
    if (folder / CHECKPOINT_FILE).is_file():
        content = load_content(folder)
        if content["provenance"]["data"] != parts.fingerprint():
            raise ValueError(
                f"{folder}: the data changed since this run began (data.train is {config.data.train}); "
                "resuming would mix two data sets. Restore the files, or start a new run"
            )
        potential = potential_from(content).to(device_of(config.run.device))
    return _run(config, parts, folder, started, potential, quiet)


def check(config: Config) -> dict[str, Any]:
    """Read everything a training needs without training; returns what was found.

    Raises:
        ValueError: as `train` would.
    """
    parts = read_parts(config)
    elements = elements_of(parts)
    descriptor = ACSF(elements, functions_of(config, elements))
    examples = Examples(parts.train, descriptor.cutoff, torch.device("cpu"))
    sizes = [len(s) for s in parts.train]
    return {
        "structures": {name: len(getattr(parts, name)) for name in PARTS},
        "elements": symbols(elements),
        "atoms per structure": f"{min(sizes)} to {max(sizes)}",
        "labels in train": {
            name: sum(getattr(s, name) is not None for s in parts.train) for name in ("energy", "forces", "stress")
        },
        "symmetry functions": len(descriptor.functions),
        "neighbors per atom": round(examples.pairs / sum(sizes), 1),
        "kept features (GB)": round(
            bytes_needed(descriptor, examples.batches, getattr(torch, config.run.dtype)) / 1e9, 3
        ),
        "reference energies (eV)": dict(
            zip(map(symbol, elements), reference_energies_of(config, parts.train, elements), strict=True)
        ),
        "run folder": config.run.dir,
    }


def _run(
    config: Config, parts: Parts, folder: Path, started: float, saved: Potential | None, quiet: bool
) -> dict[str, Any]:
    """Build, train, test and save; `saved` is the potential of the run to go on with."""
    torch.set_num_threads(config.run.threads)
    device = device_of(config.run.device)
    dtype = getattr(torch, config.run.dtype)
    elements = elements_of(parts)
    descriptor = ACSF(elements, functions_of(config, elements)).to(device)
    examples = {name: Examples(getattr(parts, name), descriptor.cutoff, device) for name in PARTS}
    if not examples["train"].pairs:
        raise ValueError(
            f"{config.data.train}: no atom has a neighbor within {descriptor.cutoff} Å; nothing can be learned"
        )
    keep_features(config, descriptor, examples, dtype)
    if saved is None:
        features = features_by_element(descriptor, examples["train"])
        report_redundancy(features, descriptor)
        potential = make_potential(config, descriptor, parts.train, features).to(device)
    else:
        potential = saved
    optimizer = make_optimizer(parameters=potential.networks.parameters(), **config.training.optimizer.model_dump())
    trainer = Trainer(potential, optimizer, examples["train"], examples["valid"], plan_of(config), folder)
    if saved is not None:
        trainer.resume()
        logger.info("resumed at epoch %d of %d", trainer.progress.epoch, config.training.epochs)

    def save_best() -> None:
        latest = {name: value.clone() for name, value in potential.networks.state_dict().items()}
        potential.networks.load_state_dict(trainer.best)
        save_potential(folder / POTENTIAL_FILE, potential, provenance(config, parts, trainer))
        potential.networks.load_state_dict(latest)

    trainer.run(on_save=save_best, on_epoch=_tensorboard(config, folder), quiet=quiet)
    results: dict[str, Any] = {"seconds": time.monotonic() - started, "best_epoch": trainer.progress.best_epoch}
    for name in PARTS:
        if len(examples[name]):
            results[name] = evaluate_examples(potential, examples[name])[1].results()
    (folder / RESULTS_FILE).write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def read_parts(config: Config) -> Parts:
    """Read the data files and divide them as the config says.

    Raises:
        ValueError: a file or a split is unfit, or validation or test data hold an element that training data do not.
    """
    data = config.data
    structures = read_structures(data.train, read_options(data, index=data.index))
    split = data.split
    if split.file is not None:
        found = read_split(split.file, len(structures))
    else:
        for name in ("valid", "test"):
            if getattr(split, name) and getattr(data, name):
                raise ValueError(f"data.{name} and data.split.{name} are both given; give the file or the amount")
        valid = split.valid if split.valid is not None else (0 if data.valid else 0.1)
        seed = config.run.seed if split.seed is None else split.seed
        found = split_indices(len(structures), split.train, valid, split.test or 0, seed)
    chosen = {name: [structures[i] for i in places] for name, places in found._asdict().items()}
    for name in ("valid", "test"):
        path = getattr(data, name)
        if path is not None:
            chosen[name] = read_structures(path, read_options(data))
            found = found._replace(**{name: []})
    parts = Parts(chosen["train"], chosen["valid"], chosen["test"], found)
    if not any(s.energy is not None or s.forces is not None or s.stress is not None for s in parts.train):
        raise ValueError(
            f"{data.train}: no structure has an energy, forces or stress to train on. "
            "Set data.energy_key and data.forces_key to their names in the file"
        )
    known = {int(z) for s in parts.train for z in s.numbers}
    for s in [*parts.valid, *parts.test]:
        strangers = sorted({int(z) for z in s.numbers} - known)
        if strangers:
            raise ValueError(
                f"{s.origin}: holds {symbols(strangers)}, which no training structure has ({symbols(sorted(known))}). "
                "Add such structures to the training set or remove this one"
            )
    return parts


def elements_of(parts: Parts) -> list[int]:
    """Atomic numbers in the training data, ascending."""
    return sorted({int(z) for s in parts.train for z in s.numbers})


def keep_features(config: Config, descriptor: ACSF, examples: Mapping[str, Examples], dtype: torch.dtype) -> None:
    """Compute features and Jacobians of training and validation structures once, if they are to be kept."""
    if config.training.cache == "off":
        return
    kept = [part for name, part in examples.items() if name != "test" and len(part)]
    size = sum(bytes_needed(descriptor, part.batches, dtype) for part in kept) / 1e9
    if config.training.cache == "auto" and size > config.training.cache_limit:
        logger.info("features would take %.2f GB; more than training.cache_limit, so each step computes them", size)
        return
    logger.info("keeping %d features per atom and their Jacobians: %.2f GB", len(descriptor.functions), size)
    for part in kept:
        part.store = FeatureStore(descriptor, part.batches, dtype)


def features_by_element(descriptor: ACSF, examples: Examples) -> list[Tensor]:
    """Features of the training atoms, in float64 and one tensor per element."""
    numbers = torch.cat([batch.numbers for batch in examples.batches])
    if examples.store:
        features = torch.cat(examples.store.features).cpu()
    else:
        parts = []
        with torch.no_grad():
            for chunk in examples.chunks():
                batch = examples.take(chunk)[0]
                parts.append(descriptor(batch.numbers, batch.pairs, pair_vectors(batch)).cpu())
        features = torch.cat(parts)
    return [features[numbers == z].double() for z in descriptor.elements]


def report_redundancy(features: Sequence[Tensor], descriptor: ACSF) -> None:
    """Log the functions that are constant on the training data or repeat another."""
    for number, values in zip(descriptor.elements, features, strict=True):
        columns = [d for d, function in enumerate(descriptor.functions) if applies(function, number)]
        messages = redundant_functions(values[:, columns].numpy(), [descriptor.functions[d] for d in columns])
        if messages:
            logger.warning(
                "%s atoms: %d of %d functions are constant on the training data or repeat another (%s ...)",
                symbol(number),
                len(messages),
                len(columns),
                messages[0],
            )


def environment(config: Config) -> dict[str, Any]:
    """What the run was made with."""
    names = ("mlip", "torch", "numpy", "ase", "vesin", "pydantic")
    device = device_of(config.run.device)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "threads": config.run.threads,
        "cores": os.cpu_count(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {name: version(name) for name in names},
    }


def provenance(config: Config, parts: Parts, trainer: Trainer) -> dict[str, Any]:
    """Where a potential comes from; stands in its file."""
    return {
        "mlip": version("mlip"),
        "config": config.model_dump(mode="json"),
        "structures": {"train": len(parts.train), "valid": len(parts.valid), "test": len(parts.test)},
        "data": parts.fingerprint(),
        "best_epoch": trainer.progress.best_epoch,
        "best_loss": trainer.progress.best_loss,
    }


def _new_folder(config: Config) -> Path:
    folder = Path(config.run.dir)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"run.dir is {folder}, which is a file; expected a folder or a new name")
    old = [
        folder / name
        for name in (CHECKPOINT_FILE, POTENTIAL_FILE, METRICS_FILE, RESULTS_FILE)
        if (folder / name).exists()
    ]
    if old and not config.run.overwrite:
        raise ValueError(
            f"run.dir is {folder}, which holds an earlier run. Go on with it: mlip train --resume {folder}; "
            "replace it: run.overwrite=true; or choose another run.dir"
        )
    for path in old:
        path.unlink()
    return folder


def _tensorboard(config: Config, folder: Path) -> Callable[[Mapping[str, float]], None]:
    if not config.run.tensorboard:
        return lambda row: None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError("run.tensorboard is true, but TensorBoard is missing: pip install tensorboard") from error
    writer = SummaryWriter(str(folder / "tensorboard"))

    def write(row: Mapping[str, float]) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, int(row["epoch"]))
        writer.flush()

    return write
