"""Whatever a run is, several ranks make of it what one process makes."""

import json
import signal

import pytest
from interfaces.command import mlip
from interfaces.trained import ETHANOL

from mlip.configfile import parse_config
from mlip.model.checkpoint import load_content
from mlip.run import train
from mlip.streaming import prepare
from mlip.training.streamed import StreamedExamples
from training.ranks import DESCRIPTOR, assert_same, command, ended, forked, trained, under_way

LIMIT = 1e-4  # GB; the structures of a store take more


def values_of(folder, data=ETHANOL, **training):
    return {
        "run": {"dir": str(folder), "device": "cpu", "dtype": "float64"},
        "data": {"train": str(data), "split": {"valid": 6, "test": 6}, **({"index": ":40"} if data == ETHANOL else {})},
        "model": {"descriptor": DESCRIPTOR, "networks": {"hidden": [6]}},
        "training": {"epochs": 3, "batch_size": 7, **training},
    }


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """40 structures with features and without."""
    folder = tmp_path_factory.mktemp("stores")
    (folder / "config.yaml").write_text(json.dumps(values_of("never")), encoding="utf-8")
    for name, options in {"plain": (), "features": ("--features",)}.items():
        file = folder / f"{name}.h5"
        done = mlip("prepare", folder / "config.yaml", "--output", file, "--chunk", "4", "--json", *options)
        assert done.status == 0, done.err
    return folder


def test_what_one_process_makes(stores, tmp_path):
    """Streamed with features and without, streamed to the members of a committee, fine-tuned, by name of the folder."""
    train(parse_config(values_of(tmp_path / "start", epochs=2), "test"), quiet=True)

    def configs(folder):
        streamed = {"memory_limit": LIMIT}
        members = values_of(folder / "members", stores / "plain.h5", **streamed, ranks_share="members")
        members["model"]["committee"] = {"members": 3, "subsets": "kfold"}
        return [
            values_of(folder / "plain", stores / "plain.h5", **streamed),
            values_of(folder / "features", stores / "features.h5", memory_limit=5 * LIMIT),
            members,
            values_of(folder / "tuned", start_from=str(tmp_path / "start"), fine_tuning={"scaling": "refit"}),
        ]

    for values in configs(tmp_path / "one"):
        ready = prepare(parse_config(values, "test"))
        assert isinstance(ready.examples["train"], StreamedExamples) == ("start_from" not in values["training"])
        train(parse_config(values, "test"), quiet=True)
    trained(2, configs(tmp_path / "two"), tmp_path / "configs.json")
    for folder in (tmp_path / "two").iterdir():
        assert_same(folder, tmp_path / "one" / folder.name)


def test_a_job_of_two_ranks_that_is_begun_again(tmp_path):
    """The same command until it is done; after a warning to one rank both say 75."""
    folder = tmp_path / "run"
    arguments = command(values_of(folder, epochs=100), tmp_path, "--requeue")
    processes = forked(2, arguments)
    under_way(processes, folder)
    processes[1].send_signal(signal.SIGUSR1)
    found = ended(processes)
    assert [status for status, *_ in found] == [75, 75], found
    assert "give the same command again" in found[0][2]
    first = load_content(folder)["provenance"]["best_epoch"]
    done = ended(forked(2, arguments))
    assert [status for status, *_ in done] == [0, 0], done
    train(parse_config(values_of(tmp_path / "whole", epochs=100), "test"), quiet=True)
    assert_same(folder, tmp_path / "whole")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = ended(forked(2, arguments))
    assert [status for status, *_ in again] == [0, 0] and "is finished" in again[0][2], again
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert 0 < first <= 100


def test_more_ranks_than_members(tmp_path):
    values = values_of(tmp_path / "run", ranks_share="members")
    found = ended(forked(2, command(values, tmp_path)))
    assert [status for status, *_ in found] == [2, 2]
    message = "members, of which model.committee has 1, and there are 2 ranks. Start no more"
    assert sum(message in errors for *_, errors in found) == 1, found  # of the rank that was first to fail
    assert not (tmp_path / "run").exists()
    values["training"] |= {"optimizer": {"name": "lbfgs"}, "batch_size": "all", "schedule": {"name": "constant"}}
    with pytest.raises(ValueError, match="lbfgs, whose line search is one for all members"):
        parse_config(values, "test")
