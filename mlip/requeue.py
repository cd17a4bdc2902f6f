"""One command for a job that a batch system starts again and again until it is done."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from mlip.config import Config
from mlip.configfile import differences, load_config
from mlip.run import CONFIG_FILE, GIVEN_FILE, RESULTS_FILE, resume, train
from mlip.training.distributed import ALONE, Ranks

logger = logging.getLogger(__name__)


def begin_or_resume(config: Config, *, quiet: bool = False, ranks: Ranks = ALONE) -> dict[str, Any]:
    """Train if the run folder holds no run, go on with the one it holds, or only read its results if it is finished.

    Raises:
        ValueError: the run there has another config, or what `train` and `resume` raise.
        Stopped: a signal came; the same call goes on.
    """
    if config.run.overwrite:
        raise ValueError("run.overwrite=true and --requeue, which goes on with the run that is there; give one of them")
    folder = Path(config.run.dir)
    # As the first rank sees it: it writes once all know.
    begun, finished = ranks.gathered([(folder / name).is_file() for name in (CONFIG_FILE, RESULTS_FILE)])[0]
    if not begun:
        return train(config, quiet=quiet, ranks=ranks)
    _require_same(config, folder)
    if finished:
        logger.info("%s: this run is finished", folder)
        results: dict[str, Any] = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
        return results
    return resume(folder, quiet=quiet, ranks=ranks)


def _require_same(config: Config, folder: Path) -> None:
    """See that the run in a folder began with this config, but for the spelling of its folder."""
    given = folder / GIVEN_FILE
    name = GIVEN_FILE if given.is_file() else CONFIG_FILE  # a run of an older version has only the latter
    before, now = (each.model_dump(mode="json") for each in (load_config(folder / name), config))
    for values in (before, now):
        del values["run"]["dir"], values["run"]["overwrite"]
    if changed := differences(before, now):
        raise ValueError(
            f"{folder}: holds a run with another config: {', '.join(changed[:8])} differ from {folder / name}. "
            f"Go on as it began: mlip train --resume {folder}; or choose another run.dir"
        )
