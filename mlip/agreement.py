"""Several ranks of one training were given the same: the config, and data that are the same files on all machines."""

from __future__ import annotations

from mlip.config import Config
from mlip.configfile import as_yaml
from mlip.preparation import Preparation
from mlip.training.distributed import Ranks


def require_one_config(config: Config, ranks: Ranks) -> None:
    """See that all ranks were started with the same config, and that it has work for each.

    Raises:
        ValueError: they were not, or it has not.
    """
    if len(set(ranks.gathered(as_yaml(config)))) > 1:
        raise ValueError("the ranks were started with unlike configs; give all of them the same command")
    members = config.model.committee.members
    if config.training.ranks_share == "members" and ranks.size > max(1, members):
        raise ValueError(
            f"training.ranks_share is members, of which model.committee has {members}, and there are {ranks.size} "
            "ranks. Start no more ranks than members, or set training.ranks_share=structures"
        )


def require_same(ready: Preparation, ranks: Ranks) -> None:
    """See that all ranks read the same data; all have then looked at the run folder, too.

    Raises:
        ValueError: they did not.
    """
    if ranks.alone:
        return
    found = ranks.gathered((ready.parts.fingerprint(), as_yaml(ready.config)))
    strangers = [rank for rank, other in enumerate(found) if other != found[0]]
    if strangers:
        raise ValueError(
            f"ranks {strangers} read other data than rank 0 under the same names (data.train is "
            f"{ready.config.data.train}); all machines must see the same files"
        )
