"""From a config to a trained potential: the story of a run."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from mlip.agreement import require_one_config, require_same
from mlip.arithmetic import arithmetic
from mlip.assembly import make_potential, plan_of
from mlip.claim import Claim
from mlip.config import Config
from mlip.configfile import as_yaml, descriptor_yaml, load_config
from mlip.data.split import write_split
from mlip.device import configure_cpu
from mlip.durable import write_whole
from mlip.featurization import features_by_element, kept_features, report_redundancy
from mlip.fine_tuning import continued_potential
from mlip.model.checkpoint import POTENTIAL_FILE, load_content, potential_from, save_potential
from mlip.model.potential import Calibration, Potential
from mlip.preparation import PARTS, Preparation
from mlip.provenance import environment, provenance
from mlip.regression import solved_potential
from mlip.streaming import StreamedPreparation, prepare
from mlip.training.calibration import FIGURE_FILE, NUMBERS_FILE, write_calibration
from mlip.training.distributed import ALONE, Ranks
from mlip.training.examples import Examples
from mlip.training.loop import Trainer
from mlip.training.metrics import table
from mlip.training.optimizers import make_optimizer
from mlip.training.reliability import reliability_of
from mlip.training.saving import CHECKPOINT_FILE, METRICS_FILE, PREVIOUS_FILE, has_checkpoint
from mlip.training.subsets import structure_weights
from mlip.training.validation import evaluate_examples

logger = logging.getLogger(__name__)

CONFIG_FILE, SPLIT_FILE, ENVIRONMENT_FILE = "config.yaml", "split.json", "environment.json"
GIVEN_FILE = "given.yaml"  # the config before anything was chosen from the data
RESULTS_FILE, DESCRIPTOR_FILE = "results.json", "descriptor.yaml"
REPORT_FILE = "report.html"  # of `mlip report`
RESULT_FILES = (
    CHECKPOINT_FILE, PREVIOUS_FILE, POTENTIAL_FILE, METRICS_FILE, RESULTS_FILE, FIGURE_FILE, NUMBERS_FILE
)  # fmt: skip


Row = Mapping[str, float]  # of metrics.csv


def train(
    config: Config,
    *,
    quiet: bool = False,
    on_epoch: Callable[[Row], None] | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train a potential as the config says; the run folder then holds it. Returns what results.json holds.

    `on_epoch` is called with each row of metrics; what it raises ends the run. Several `ranks` share the work;
    the first writes, and all return the same.

    Raises:
        ValueError: config, data and run folder do not fit together; the message says what and where.
        Stopped: SIGINT, SIGTERM or SIGUSR1 came; `resume` goes on.
    """
    started = time.monotonic()
    require_free_folder(config)
    require_one_config(config, ranks)
    ready = prepare(config, device=ranks.device(config.run.device))
    given, config = config, ready.config
    require_same(ready, ranks)
    with _held(Path(config.run.dir), ranks) as claim:
        if ranks.first:
            _begin(claim.folder, ready, given)
        return _run(ready, claim, started, None, quiet, on_epoch, ranks)


def _held(folder: Path, ranks: Ranks) -> AbstractContextManager[Claim]:
    """The folder, held by the first rank for all."""
    return Claim(folder) if ranks.first else nullcontext(Claim(folder))


def _begin(folder: Path, ready: Preparation, given: Config) -> None:
    """Make a run of the folder, with everything that is known before the training."""
    config = ready.config
    require_free_folder(config)  # another run may have begun and ended since
    for name in (CONFIG_FILE, *RESULT_FILES, DESCRIPTOR_FILE, REPORT_FILE):
        (folder / name).unlink(missing_ok=True)
    if config.model.descriptor != given.model.descriptor:
        write_whole(folder / DESCRIPTOR_FILE, descriptor_yaml(config))
    write_whole(folder / ENVIRONMENT_FILE, json.dumps(environment(config), indent=1))
    write_split(folder / SPLIT_FILE, ready.parts.split)
    write_whole(folder / GIVEN_FILE, as_yaml(given))
    write_whole(folder / CONFIG_FILE, as_yaml(config))  # the last one: with it a run has begun


def resume(
    folder: str | Path,
    *,
    quiet: bool = False,
    on_epoch: Callable[[Row], None] | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Go on with a run that was interrupted, from its newest whole checkpoint to the end of its config.

    `on_epoch` and `ranks` as in `train`; their number may be another than before.

    Raises:
        ValueError: the folder holds no run, or the data changed since it began.
    """
    started = time.monotonic()
    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file():
        raise ValueError(f"{folder}: no {CONFIG_FILE} in it; expected the run folder of an earlier `mlip train`")
    with _held(folder, ranks) as claim:
        return _resume(claim, started, quiet, on_epoch, ranks)


def _resume(
    claim: Claim, started: float, quiet: bool, on_epoch: Callable[[Row], None] | None, ranks: Ranks
) -> dict[str, Any]:
    folder = claim.folder
    config = load_config(folder / CONFIG_FILE)
    begun = has_checkpoint(folder)
    solved = config.model.kind != "network"  # without checkpoints: it begins anew
    if not begun and not solved and any((folder / name).exists() for name in RESULT_FILES if name != POTENTIAL_FILE):
        raise ValueError(
            f"{folder}: {CHECKPOINT_FILE} is missing, without which the run cannot go on, and other results are there. "
            "Restore it, or begin a new run in another run.dir"
        )
    content = load_content(folder) if begun else None
    potential = potential_from(content) if content else None
    require_one_config(config, ranks)
    ready = prepare(config, potential, ranks.device(config.run.device))
    require_same(ready, ranks)
    if content:
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
        assert potential is not None
        potential.to(ready.device)
    return _run(ready, claim, started, potential, quiet, on_epoch, ranks)


def _run(
    ready: Preparation,
    claim: Claim,
    started: float,
    saved: Potential | None,
    quiet: bool,
    on_epoch: Callable[[Row], None] | None,
    ranks: Ranks,
) -> dict[str, Any]:
    """Train, test and save; `saved` is the potential of the run to go on with."""
    if ready.config.model.kind != "network":
        return _solve(ready, claim, started, quiet, ranks)
    committee = ready.config.model.committee
    # The networks of a committee are computed in as many threads, each with the matrix products of its own.
    configure_cpu(ready.config.run.threads, 1 if committee.members > 1 else ready.config.run.threads)
    train = ready.examples["train"]
    train.weights = structure_weights(committee.subsets, committee.members, len(train), ready.config.run.seed)
    if not ranks.alone:
        for part in ready.examples.values():
            part.weigh(ready.descriptor)
    exactness = arithmetic(ready.device, ready.config.run.tf32, ready.config.run.deterministic)
    with exactness, kept_features(ready.config, ready.descriptor, ready.examples, ranks):
        return _fit(ready, claim, started, saved, quiet, on_epoch, ranks)


def _fit(
    ready: Preparation,
    claim: Claim,
    started: float,
    saved: Potential | None,
    quiet: bool,
    on_epoch: Callable[[Row], None] | None,
    ranks: Ranks,
) -> dict[str, Any]:
    config, examples, folder = ready.config, ready.examples, claim.folder
    potential = new_potential(ready) if saved is None else saved
    chosen = config.training.optimizer.model_dump()
    trainer = Trainer(
        potential,
        lambda weights: make_optimizer(weights=weights, ranks=ranks, **chosen),
        examples["train"],
        examples["valid"],
        plan_of(config, examples["train"].lengths),
        folder,
        ranks,
    )
    trainer.saving.before = claim.require
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

    tensorboard = _tensorboard(config, folder) if ranks.first else None
    listeners = [listener for listener in (tensorboard, on_epoch) if listener]

    def tell(row: Row) -> None:
        for listen in listeners:
            listen(row)

    trainer.run(on_save=save_best, on_epoch=tell, quiet=quiet)
    results: dict[str, Any] = {}
    for name in PARTS:
        if len(examples[name]):
            results[name] = evaluate_examples(potential, examples[name], ranks=ranks)[1].results()
    if potential.members > 1:
        _calibrate(potential, examples, folder, results, ranks)
        if ranks.first:
            save_best()
    results = {"seconds": before + time.monotonic() - started, "best_epoch": trainer.progress.best_epoch, **results}
    if ranks.first:
        claim.require()
        write_whole(folder / RESULTS_FILE, json.dumps(results, indent=1))
    return results


def _solve(ready: Preparation, claim: Claim, started: float, quiet: bool, ranks: Ranks) -> dict[str, Any]:
    """Test and save a potential of a kind that takes no epochs; every rank does all of it, and the first writes."""
    configure_cpu(ready.config.run.threads, ready.config.run.threads)
    potential, results = solved_potential(ready, quiet=quiet)
    for name in PARTS:
        if len(ready.examples[name]):
            results[name] = evaluate_examples(potential, ready.examples[name])[1].results()
    if potential.deviates:
        _calibrate(potential, ready.examples, claim.folder, results, ranks)
    results = {"seconds": time.monotonic() - started, "best_epoch": None, **results}
    if ranks.first:
        claim.require()
        save_potential(
            claim.folder / POTENTIAL_FILE, potential, provenance(ready.config, ready.parts, ready.parts.fingerprint())
        )
        write_whole(claim.folder / RESULTS_FILE, json.dumps(results, indent=1))
    return results


def new_potential(ready: Preparation) -> Potential:
    """The potential that a run begins with: untrained, or what becomes of the one it starts from."""
    config, examples = ready.config, ready.examples
    features = features_by_element(ready.descriptor, examples["train"])
    report_redundancy(features, ready.descriptor)
    if ready.start is None:
        learned = ready.energy_scale if isinstance(ready, StreamedPreparation) else ready.targets
        potential = make_potential(config, ready.descriptor, learned, ready.references, features, ready.baseline)
        return potential.to(ready.device)
    potential = continued_potential(
        config, ready.start, ready.descriptor, ready.references, features, examples["train"], ready.baseline
    ).to(ready.device)
    if len(examples["valid"]):
        found = evaluate_examples(potential, examples["valid"])[1].results()
        logger.info(
            "validation before the first step, from %s\n%s", config.training.start_from, table({"valid": found})
        )
    return potential


def _calibrate(
    potential: Potential, examples: Mapping[str, Examples], folder: Path, results: dict[str, Any], ranks: Ranks
) -> None:
    """Fit the factors of standard deviations on validation structures, and compare these with errors."""
    potential.calibration = Calibration()  # of a finished run that is made again
    reliability = reliability_of(potential, examples["valid"], ranks)
    potential.calibration = reliability.factors() if potential.members > 1 else reliability.covering_factors()
    results["calibration"] = potential.calibration._asdict()
    found = {name: reliability_of(potential, part, ranks) for name, part in examples.items() if len(part)}
    for name, reliability in found.items():
        results[name] |= reliability.results()
    if ranks.first:
        write_calibration(folder, found)
    if not len(examples["valid"]):
        logger.info("no validation structures: standard deviations are as they come, not calibrated")


def require_free_folder(config: Config) -> None:
    """See that the run folder holds no earlier run, unless that may be replaced.

    Raises:
        ValueError: it does.
    """
    folder = Path(config.run.dir)
    if not config.run.overwrite and any((folder / name).exists() for name in RESULT_FILES):
        raise ValueError(
            f"run.dir is {folder}, which holds an earlier run. Go on with it: mlip train --resume {folder}, or "
            "the same command with --requeue; replace it: run.overwrite=true; or choose another run.dir"
        )


def _tensorboard(config: Config, folder: Path) -> Callable[[Row], None] | None:
    if not config.run.tensorboard:
        return None
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"))

    def write(row: Row) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, int(row["epoch"]))
        writer.flush()

    return write
