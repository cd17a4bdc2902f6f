"""From a config to a trained potential: the story of a run."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlip.assembly import make_potential, plan_of
from mlip.batch import pair_vectors
from mlip.config import Config
from mlip.configfile import as_yaml, load_config
from mlip.data.split import write_split
from mlip.descriptors.acsf import ACSF, applies
from mlip.descriptors.backends import fastest
from mlip.descriptors.parameters import redundant_functions
from mlip.descriptors.store import FeatureStore
from mlip.device import configure_cpu, device_of
from mlip.elements import symbol
from mlip.model.checkpoint import POTENTIAL_FILE, load_content, potential_from, save_potential
from mlip.model.potential import Potential
from mlip.preparation import PARTS, Parts, Preparation, bytes_of_features, prepare
from mlip.training.examples import Examples
from mlip.training.loop import CHECKPOINT_FILE, METRICS_FILE, Trainer, evaluate_examples
from mlip.training.optimizers import make_optimizer

logger = logging.getLogger(__name__)

CONFIG_FILE, SPLIT_FILE, ENVIRONMENT_FILE = "config.yaml", "split.json", "environment.json"
RESULTS_FILE = "results.json"
RESULT_FILES = (CHECKPOINT_FILE, POTENTIAL_FILE, METRICS_FILE, RESULTS_FILE)


def train(config: Config, *, quiet: bool = False) -> dict[str, Any]:
    """Train a potential as the config says; the run folder then holds it. Returns what results.json holds.

    Raises:
        ValueError: config, data and run folder do not fit together; the message says what and where.
        Stopped: SIGINT or SIGTERM came; `resume` goes on.
    """
    started = time.monotonic()
    require_free_folder(config)
    ready = prepare(config)
    folder = Path(config.run.dir)
    folder.mkdir(parents=True, exist_ok=True)
    for name in RESULT_FILES:
        (folder / name).unlink(missing_ok=True)
    (folder / CONFIG_FILE).write_text(as_yaml(config), encoding="utf-8")
    (folder / ENVIRONMENT_FILE).write_text(json.dumps(environment(config), indent=1), encoding="utf-8")
    write_split(folder / SPLIT_FILE, ready.parts.split)
    return _run(ready, folder, started, None, quiet)


def resume(folder: str | Path, *, quiet: bool = False) -> dict[str, Any]:
    """Go on with a run that was interrupted, from its last checkpoint to the end of its config.

    Raises:
        ValueError: the folder holds no run, or the data changed since it began.
    """
    started = time.monotonic()
    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file():
        raise ValueError(f"{folder}: no {CONFIG_FILE} in it; expected the run folder of an earlier `mlip train`")
    config = load_config(folder / CONFIG_FILE)
    if not (folder / CHECKPOINT_FILE).is_file() and any((folder / name).exists() for name in RESULT_FILES):
        raise ValueError(
            f"{folder}: {CHECKPOINT_FILE} is missing, without which the run cannot go on, and other results are there. "
            "Restore it, or begin a new run in another run.dir"
        )
    ready = prepare(config)
    potential = None
    if (folder / CHECKPOINT_FILE).is_file():
        content = load_content(folder)
        if content["provenance"]["data"] != ready.parts.fingerprint():
            raise ValueError(
                f"{folder}: the data changed since this run began (data.train is {config.data.train}); "
                "resuming would mix two data sets. Restore the files, or start a new run"
            )
        chosen = config.model.repulsion
        if content.get("repulsion") != (chosen and chosen.model_dump()):
            raise ValueError(
                f"{folder}: the run began with model.repulsion {content.get('repulsion')}, {CONFIG_FILE} now says "
                f"{chosen and chosen.model_dump()}; resuming would mix two models. Write it there as it was"
            )
        potential = potential_from(content).to(ready.device)
    return _run(ready, folder, started, potential, quiet)


def _run(ready: Preparation, folder: Path, started: float, saved: Potential | None, quiet: bool) -> dict[str, Any]:
    """Train, test and save; `saved` is the potential of the run to go on with."""
    configure_cpu(ready.config.run.threads)
    with kept_features(ready.config, ready.descriptor, ready.examples):
        return _fit(ready, folder, started, saved, quiet)


def _fit(ready: Preparation, folder: Path, started: float, saved: Potential | None, quiet: bool) -> dict[str, Any]:
    config, examples = ready.config, ready.examples
    if saved is None:
        features = features_by_element(ready.descriptor, examples["train"])
        report_redundancy(features, ready.descriptor)
        potential = make_potential(config, ready.descriptor, ready.targets, ready.references, features)
        potential = potential.to(ready.device)
    else:
        potential = saved
    chosen = config.training.optimizer.model_dump()
    trainer = Trainer(
        potential,
        lambda weights: make_optimizer(weights=weights, **chosen),
        examples["train"],
        examples["valid"],
        plan_of(config),
        folder,
    )
    if saved is not None:
        trainer.resume()
        if trainer.progress.epoch > config.training.epochs:
            logger.info("this run is finished; its results are made again")
        else:
            logger.info("resumed at epoch %d of %d", trainer.progress.epoch, config.training.epochs)
    before = trainer.progress.seconds
    data = ready.parts.fingerprint()

    def save_best() -> None:
        latest = {name: value.clone() for name, value in potential.networks.state_dict().items()}
        potential.networks.load_state_dict(trainer.best)
        save_potential(folder / POTENTIAL_FILE, potential, provenance(config, ready.parts, data, trainer))
        potential.networks.load_state_dict(latest)

    trainer.run(on_save=save_best, on_epoch=_tensorboard(config, folder), quiet=quiet)
    results: dict[str, Any] = {}
    for name in PARTS:
        if len(examples[name]):
            results[name] = evaluate_examples(potential, examples[name])[1].results()
    results = {"seconds": before + time.monotonic() - started, "best_epoch": trainer.progress.best_epoch, **results}
    (folder / RESULTS_FILE).write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def require_free_folder(config: Config) -> None:
    """See that the run folder holds no earlier run, unless that may be replaced.

    Raises:
        ValueError: it does.
    """
    folder = Path(config.run.dir)
    if not config.run.overwrite and any((folder / name).exists() for name in RESULT_FILES):
        raise ValueError(
            f"run.dir is {folder}, which holds an earlier run. Go on with it: mlip train --resume {folder}; "
            "replace it: run.overwrite=true; or choose another run.dir"
        )


@contextmanager
def kept_features(config: Config, descriptor: ACSF, examples: Mapping[str, Examples]) -> Iterator[None]:
    """Features and Jacobians of training and validation structures, computed once and kept for a while, if asked to."""
    dtype = getattr(torch, config.run.dtype)
    kept = {name: part for name, part in examples.items() if name != "test" and len(part)}
    size = bytes_of_features(descriptor, kept.values(), dtype) / 1e9
    place = config.training.cache
    if place == "auto":
        place = "memory" if size <= config.training.cache_limit else "off"
    paths = {name: Path(config.run.dir) / f"features_{name}.h5" for name in kept if place == "disk"}
    logger.info(
        "features and Jacobians (%d functions, %.2f GB): %s",
        len(descriptor.functions),
        size,
        {"memory": "kept in memory", "disk": "kept on disk", "off": "computed in each step"}[place],
    )
    try:
        if place != "off":
            for name, part in kept.items():
                part.store = FeatureStore(
                    descriptor, part.atoms, dtype, paths.get(name), jacobians=part.needs_gradients
                )
        yield
    finally:
        for path in paths.values():
            path.unlink(missing_ok=True)


def features_by_element(descriptor: ACSF, examples: Examples) -> list[Tensor]:
    """Features of the training atoms, one float64 tensor per element; kept ones have the precision they are kept in."""
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


def report_redundancy(features: Sequence[Tensor], descriptor: ACSF) -> None:
    """Log the functions that are constant on the training data or repeat another."""
    for number, values in zip(descriptor.elements, features, strict=True):
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


def provenance(config: Config, parts: Parts, data: str, trainer: Trainer) -> dict[str, Any]:
    """Where a potential comes from; stands in its file. `data` is the fingerprint of `parts`."""
    return {
        "mlip": version("mlip"),
        "config": config.model_dump(mode="json"),
        "structures": {"train": len(parts.train), "valid": len(parts.valid), "test": len(parts.test)},
        "data": data,
        "best_epoch": trainer.progress.best_epoch,
        "best_loss": trainer.progress.best_loss,
    }


def _tensorboard(config: Config, folder: Path) -> Callable[[Mapping[str, float]], None]:
    if not config.run.tensorboard:
        return lambda row: None
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"))

    def write(row: Mapping[str, float]) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, int(row["epoch"]))
        writer.flush()

    return write
