"""One training of a study: in a run folder of its own, done once, resumed where it was interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlip import run
from mlip.config import Config
from mlip.config.data import Split as SplitSection
from mlip.configfile import differences
from mlip.data.split import Split, write_split
from mlip.durable import write_whole
from mlip.fine_tuning import start_of
from mlip.preparation import Parts, read_parts, require_known
from mlip.run import CONFIG_FILE, RESULT_FILES, RESULTS_FILE, Row

TASK_FILE, TASK_SPLIT_FILE = "task.json", "task_split.json"


@dataclass(frozen=True)
class Study:
    """What the trainings of a study have in common: a config, the structures it names, and a folder for all runs."""

    config: Config
    parts: Parts
    data: str  # fingerprint of the parts
    known: tuple[int, ...] = ()  # elements of the potential that trainings start from

    @property
    def folder(self) -> Path:
        """Holds the run folders and the results of the study."""
        return Path(self.config.run.dir)

    def require_elements(self, places: Sequence[int], name: str, tested: Sequence[int] = ()) -> None:
        """See that some of the training structures hold every element of those they are validated and tested on.

        `tested` are training structures as well; the other parts count anyway.

        Raises:
            ValueError: they do not; the message names the structure that has another.
        """
        train = dict(zip(self.parts.split.train, self.parts.train, strict=True))
        known = {int(z) for place in places for z in train[place].numbers} | set(self.known)
        others = [*(train[place] for place in tested), *self.parts.valid, *self.parts.test]
        require_known(known, others, f"structure of {name}")

    def train(
        self,
        name: str,
        config: Config,
        split: Split,
        *,
        quiet: bool = False,
        on_epoch: Callable[[Row], None] | None = None,
    ) -> dict[str, Any]:
        """Results of a training in the folder `name` below that of the study.

        A finished one is only read and an interrupted one goes on, unless run.overwrite is true.

        Raises:
            ValueError: the folder holds another training.
            Stopped: a signal came; the same call goes on.
        """
        folder = self.folder / name
        file = folder / TASK_SPLIT_FILE
        data = config.data.model_copy(update={"split": SplitSection(file=str(file))})
        own = config.model_copy(update={"data": data, "run": config.run.model_copy(update={"dir": str(folder)})})
        settings = own.model_dump(mode="json")
        settings["run"].pop("overwrite")
        asked = {"config": settings, "split": split._asdict(), "data": self.data}
        if not config.run.overwrite and (folder / TASK_FILE).is_file():
            _require_same(folder, asked)
            if (folder / RESULTS_FILE).is_file():
                finished: dict[str, Any] = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
                return finished
            if (folder / CONFIG_FILE).is_file():
                return run.resume(folder, quiet=quiet, on_epoch=on_epoch)
        run.require_free_folder(own)
        folder.mkdir(parents=True, exist_ok=True)
        write_split(file, split)
        write_whole(folder / TASK_FILE, json.dumps(asked))
        return run.train(own, quiet=quiet, on_epoch=on_epoch)


def begin(config: Config) -> Study:
    """Read what the config names and make the folder of a study.

    Raises:
        ValueError: config and data do not fit together, or run.dir is the folder of a training.
    """
    folder = Path(config.run.dir)
    if any((folder / name).exists() for name in RESULT_FILES):
        raise ValueError(f"run.dir is {folder}, which holds a training; a study needs a folder of its own. Set run.dir")
    known = start_of(config)[1].elements if config.training.start_from else ()
    parts = read_parts(config, known)
    folder.mkdir(parents=True, exist_ok=True)
    return Study(config, parts, parts.fingerprint(), known)


def without_test(config: Config) -> Config:
    """The same config without the test file, so that it is not even read."""
    return config.model_copy(update={"data": config.data.model_copy(update={"test": None})})


def with_seed(config: Config, seed: int) -> Config:
    """The same config with another run.seed."""
    return config.model_copy(update={"run": config.run.model_copy(update={"seed": seed})})


def _require_same(folder: Path, asked: dict[str, Any]) -> None:
    before = json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
    now = json.loads(json.dumps(asked))
    if before == now:
        return
    changed = [name for name in ("data", "split") if before[name] != now[name]] or differences(
        before["config"], now["config"]
    )
    raise ValueError(
        f"{folder}: holds a training of an earlier study with other settings ({', '.join(changed)}). "
        "Choose another run.dir, or replace it: run.overwrite=true"
    )
