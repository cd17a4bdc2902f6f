"""A search for the settings with the smallest validation error; test data are never read."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from mlip.config import Config
from mlip.durable import write_whole
from mlip.run import Row
from mlip.studies.space import OF_THE_LOSS, Choices, Range, Space, overrides_of
from mlip.studies.summary import aligned
from mlip.studies.tasks import Study, begin, without_test
from mlip.training.saving import METRICS_FILE

logger = logging.getLogger(__name__)

NAME, JOURNAL_FILE = "tuning", "tuning.journal"
# Objective -> column of metrics.csv, unit, factor to it.
OBJECTIVES = {
    "loss": ("valid_loss", "", 1.0),
    "forces": ("valid_forces_mae", " meV/Å", 1e3),
    "energy": ("valid_energy_mae_per_atom", " meV/atom", 1e3),
}
TRIALS_BEFORE_PRUNING = 5


def tune(
    load: Callable[[Sequence[str]], Config], space: Space, trials: int, objective: str = "loss", *, quiet: bool = False
) -> dict[str, Any]:
    """Train with settings from the space until there are `trials` trainings, earlier ones in run.dir included.

    `load` makes a config from overrides. The objective is the smallest validation loss of a training, or the error of
    forces or energies in its best epoch. A training that is worse than the median of the others at the same epoch is
    pruned, from a quarter of the epochs on. The folder of the study (run.dir) then holds tuning.json, the state of the
    search, and each training in a folder of its own.

    Raises:
        ValueError: Optuna is missing, a value of the space is refused by the schema, run.dir holds another search,
            there are no validation structures, or every training failed.
        Stopped: a signal came; the same call goes on.
    """
    config = without_test(load(()))
    _check(load, space, trials, objective)
    study = begin(config)
    if not study.parts.valid:
        raise ValueError("tuning needs validation structures to choose by; set data.valid or data.split.valid")
    search = _search(study, space, objective)
    for lost in [t for t in search.trials if t.state.name == "RUNNING"]:  # the process ended in the middle of it
        search.tell(lost.number, state=_state("FAIL"))
        search.enqueue_trial(lost.params, user_attrs={"folder": lost.user_attrs.get("folder")})
    while len(_finished(search)) < trials:
        _one_trial(study, search, load, space, objective, quiet)
    found = _summary(study, search, objective)
    write_whole(study.folder / f"{NAME}.json", json.dumps(found, indent=1))
    return found


def table(found: dict[str, Any], most: int = 10) -> str:
    """What `tune` found: the best trainings, best first."""
    _, unit, factor = OBJECTIVES[found["objective"]]
    done = [t for t in found["trials"] if t["value"] is not None]
    rows = [["trial", f"validation {found['objective']}{unit}", "settings"]]
    for t in sorted(done, key=lambda t: t["value"])[:most]:
        rows.append([str(t["number"]), f"{factor * t['value']:.4g}", " ".join(t["overrides"])])
    states = [t["state"] for t in found["trials"]]
    counts = ", ".join(f"{states.count(name)} {name.lower()}" for name in dict.fromkeys(states))
    return f"{aligned(rows)}\n{len(states)} trials: {counts}"


def _check(load: Callable[[Sequence[str]], Config], space: Space, trials: int, objective: str) -> None:
    """Everything that can be wrong before the first training."""
    if trials < 1:
        raise ValueError(f"--trials is {trials}; expected at least 1")
    moving = [key for key in space if key.startswith(OF_THE_LOSS)]
    if objective == "loss" and moving:
        raise ValueError(
            f"the space holds {', '.join(moving)}, which change what the loss is, so that losses cannot be compared. "
            "Choose --objective forces or energy"
        )
    for key, entry in space.items():
        for value in entry.extremes():
            load(overrides_of({key: value}))


def _search(study: Study, space: Space, objective: str) -> Any:
    """The search kept in the folder of the study, or a new one."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise ValueError("tuning needs Optuna, which is missing: pip install 'mlip[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = study.folder / JOURNAL_FILE
    if study.config.run.overwrite:
        journal.unlink(missing_ok=True)
    asked = {
        "config": {k: v for k, v in study.config.model_dump(mode="json").items() if k != "run"},
        "seed": study.config.run.seed,
        "space": {key: _plain(entry) for key, entry in space.items()},
        "objective": objective,
        "data": study.data,
    }
    search = optuna.create_study(
        study_name=NAME, storage=JournalStorage(JournalFileBackend(str(journal))), load_if_exists=True
    )
    before = search.user_attrs.get("asked")
    if before is None:
        search.set_user_attr("asked", json.dumps(asked))
    elif json.loads(before) != json.loads(json.dumps(asked)):
        changed = [name for name, value in json.loads(json.dumps(asked)).items() if json.loads(before)[name] != value]
        raise ValueError(
            f"{journal}: holds a search with other settings ({', '.join(changed)}). Choose another run.dir, "
            "or begin anew: run.overwrite=true"
        )
    # A sampler that begins with the same seed after an interruption would draw the first settings again.
    search.sampler = optuna.samplers.TPESampler(seed=study.config.run.seed + len(search.trials))
    search.pruner = optuna.pruners.MedianPruner(TRIALS_BEFORE_PRUNING, study.config.training.epochs // 4)
    return search


def _one_trial(
    study: Study, search: Any, load: Callable[[Sequence[str]], Config], space: Space, objective: str, quiet: bool
) -> None:
    from optuna import TrialPruned

    trial = search.ask()
    folder = trial.user_attrs.get("folder") or f"trial_{trial.number}"
    trial.set_user_attr("folder", folder)
    values = {key: entry.suggested(trial, key) for key, entry in space.items()}
    trial.set_user_attr("overrides", overrides_of(values))
    logger.info("trial %d: %s", trial.number, " ".join(overrides_of(values)))
    column = OBJECTIVES[objective][0]

    def see(row: Row) -> None:
        if column not in row:
            raise ValueError(f"--objective is {objective}, but the validation structures have no labels for it")
        trial.report(row[column], int(row["epoch"]))
        if trial.should_prune():
            raise TrialPruned

    try:
        config = without_test(load(overrides_of(values)))
        results = study.train(folder, config, study.parts.split._replace(test=[]), quiet=quiet, on_epoch=see)
    except TrialPruned:
        search.tell(trial, state=_state("PRUNED"))
    except ValueError as error:  # such as a loss that is no number
        logger.warning("trial %d failed: %s", trial.number, error)
        trial.set_user_attr("error", str(error))
        search.tell(trial, state=_state("FAIL"))
    else:
        with (study.folder / folder / METRICS_FILE).open(encoding="utf-8") as file:
            rows = {int(row["epoch"]): row for row in csv.DictReader(file)}
        search.tell(trial, float(rows[results["best_epoch"]][column]))


def _finished(search: Any) -> list[Any]:
    """Trials that count; one whose process ended is done again under another number."""
    return [t for t in search.trials if t.state.name in ("COMPLETE", "PRUNED") or "error" in t.user_attrs]


def _summary(study: Study, search: Any, objective: str) -> dict[str, Any]:
    trials = [
        {
            "number": t.number,
            "state": t.state.name,
            "value": t.value if t.state.name == "COMPLETE" else None,
            "overrides": t.user_attrs["overrides"],
            "folder": str(study.folder / t.user_attrs["folder"]),
        }
        for t in _finished(search)
    ]
    complete = [t for t in trials if t["value"] is not None]
    if not complete:
        raise ValueError(
            f"all {len(trials)} trials failed, the last one so: {search.trials[-1].user_attrs.get('error')}. "
            "Make the space smaller"
        )
    return {"objective": objective, "best": min(complete, key=lambda t: t["value"]), "trials": trials}


def _plain(entry: Choices | Range) -> Any:
    return list(entry.values) if isinstance(entry, Choices) else vars(entry)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]
