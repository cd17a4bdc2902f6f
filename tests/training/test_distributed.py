"""Several ranks train what one trains: the same losses, in whatever shares; and they end together."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write

from mlip.configfile import parse_config
from mlip.model.checkpoint import load_content
from mlip.run import train
from mlip.training.distributed import balanced
from mlip.training.launch import Launch, first_host, launch_of
from training.ranks import (
    DESCRIPTOR,
    as_srun,
    assert_same,
    command,
    ended,
    forked,
    rows,
    started,
    trained,
    under_way,
)  # fmt: skip

ADAM = {"name": "adam"}
TRAININGS = {
    "adam, averaged, clipped": {"optimizer": ADAM, "ema": 0.9, "gradient_clip": 5.0, "batch_size": 7},
    "soap, solved last layer": {"average_last": 0.6, "solve_last_layer": True, "epochs": 5},
    "muon, huber, kept nowhere": {"optimizer": {"name": "muon"}, "loss": {"forces": {"form": "huber"}}, "cache": "off"},
    "lbfgs": {
        "optimizer": {"name": "lbfgs", "max_iter": 3, "history_size": 4},
        "schedule": {"name": "constant"},
        "batch_size": "all",
    },
    "fewer structures than ranks": {
        "optimizer": ADAM,
        "batch_size": 3,
        "cache": "disk",
        "loss": {"energy": {"form": "mae"}},
    },
    "plateau, patience, second stage": {
        "optimizer": {"name": "adamw", "learning_rate": 0.05},
        "schedule": {"name": "plateau", "patience": 0, "factor": 0.3},
        "second_stage": {"start": 3, "energy_weight": 30.0, "learning_rate": 0.01},
        "early_stopping": {"patience": 2, "min_delta": 0.5},
        "epochs": 6,
    },
    "bootstrap committee": {"optimizer": ADAM},
    "bootstrap committee by members": {"optimizer": ADAM, "ranks_share": "members", "gradient_clip": 5.0, "ema": 0.9},
    "soap committee by members": {
        "ranks_share": "members",
        "average_last": 0.6,
        "solve_last_layer": True,
        "epochs": 5,
        "optimizer": {"name": "soap", "basis_every": 3},
    },
    "muon committee by members": {"optimizer": {"name": "muon"}, "ranks_share": "members", "cache": "off"},
}
BY_TWO = ("plateau, patience, second stage", "soap committee by members", "bootstrap committee")


@pytest.fixture(scope="module")
def data(tmp_path_factory, request):
    """Crystals of 4 to 32 atoms, some without energies, forces or stress."""
    frames = [f for f in read(request.config.rootpath / "data" / "alcu_emt.xyz", ":60") if len(f) <= 32][:31]
    for n, frame in enumerate(frames):
        lacking = {2: "energy", 3: "forces", 5: "stress"}
        for period, label in lacking.items():
            if n % 7 == period:
                frame.calc.results.pop(label)
    file = tmp_path_factory.mktemp("data") / "mixed.xyz"
    write(file, frames)
    return file


def values_of(data, folder, name, **run):
    members = 5 if "by members" in name else 2 if "committee" in name else 1
    return {
        "run": {"dir": str(folder), "device": "cpu", "dtype": "float64", **run},
        "data": {"train": str(data), "split": {"valid": 6, "test": 3}},
        "model": {
            "descriptor": DESCRIPTOR,
            "networks": {"hidden": [5]},
            "committee": {"members": members, "subsets": "bootstrap" if "bootstrap" in name else "all"},
        },
        "training": {"epochs": 4, "batch_size": 8, **TRAININGS[name]},
    }


@pytest.fixture(scope="module")
def by_one(data, tmp_path_factory):
    """Each training by a single process."""
    folder = tmp_path_factory.mktemp("one")
    for name in TRAININGS:
        train(parse_config(values_of(data, folder / name, name), "test"), quiet=True)
    return folder


@pytest.mark.parametrize(("size", "names"), [(2, BY_TWO), (4, tuple(TRAININGS))])
def test_ranks_train_what_one_process_trains(size, names, data, by_one, tmp_path):
    trained(size, [values_of(data, tmp_path / name, name) for name in names], tmp_path / "configs.json")
    for name in names:
        assert_same(tmp_path / name, by_one / name)


LONG = ("training.epochs=4000", "training.schedule={name: constant}")


@pytest.mark.parametrize(
    ("name", "anew", "size"), [("adam, averaged, clipped", True, 1), ("soap committee by members", False, 3)]
)
def test_stopped_on_one_rank_and_resumed_by_another_number(data, tmp_path, name, anew, size):
    """A signal to one rank stops both at one step, whoever starts them; another number of ranks goes on."""
    folder = tmp_path / "run"
    arguments = command(values_of(data, folder, name), tmp_path, *LONG, "training.average_last=null")
    processes = started(2, ["-m", "mlip", *arguments], as_srun) if anew else forked(2, arguments)
    under_way(processes, folder)
    processes[1].send_signal(signal.SIGTERM)
    (first, _, message), (second, _, silence) = ended(processes)
    assert (first, second) == (128 + signal.SIGTERM,) * 2, (message, silence)
    assert message.count("stopped by SIGTERM in epoch") == 1 and silence == ""
    done = load_content(folder)["provenance"]
    progress = len(rows(folder))
    assert 0 < progress < 4000 and done["best_epoch"] <= progress
    more = progress + 3
    text = (folder / "config.yaml").read_text(encoding="utf-8").replace("epochs: 4000", f"epochs: {more}")
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    trained(size, [str(folder)], tmp_path / "configs.json")
    whole = values_of(data, tmp_path / "whole", name)
    whole["training"] |= {"epochs": more, "schedule": {"name": "constant"}, "average_last": None}
    train(parse_config(whole, "test"), quiet=True)
    assert_same(folder, tmp_path / "whole")


def test_a_failure_ends_all_with_one_message(data, tmp_path):
    """An error on all ranks is said once; one that only the first has, while the others wait for it, too."""
    values = values_of(data, tmp_path / "run", "lbfgs")
    values["data"]["train"] = "nowhere.xyz"
    found = ended(forked(2, command(values, tmp_path)), 60)
    assert [status for status, *_ in found] == [2, 2]
    assert "".join(err for *_, err in found).count("mlip: error:") == 1
    values = values_of(data, tmp_path / "run", "lbfgs", tensorboard=False)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "split.json").mkdir()  # the first rank cannot write there
    began = time.monotonic()
    found = ended(forked(2, command(values, tmp_path)), 60)
    assert [status for status, *_ in found] == [2, 2], found
    assert "".join(err for *_, err in found).count("mlip: error:") == 1
    assert "split.json" in found[0][2] and found[1][2] == "" and time.monotonic() - began < 50


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_ranks_keep_features_once_and_a_killed_one_ends_the_others(data, tmp_path, cache):
    """Both have the same file in memory, which has no name, so that nothing of it stays whatever ends them."""
    folder = tmp_path / "run"
    arguments = command(values_of(data, folder, "adam, averaged, clipped"), tmp_path, *LONG, f"training.cache={cache}")
    processes = forked(2, arguments)
    under_way(processes, folder)
    mapped = [features_of(process.pid) for process in processes]
    assert mapped[0] == mapped[1] and len(mapped[0]) == 2 and all("(deleted)" in name for _, _, name in mapped[0])
    assert max(size for size, *_ in mapped[0]) > 2e5
    assert not list(folder.glob("features*"))
    processes[1].kill()
    (first, _, message), _ = ended(processes, 30)
    assert first == 2 and "rank 0 of 2 lost the others" in message and "Traceback" not in message
    assert not list(folder.glob("features*"))


def features_of(process):
    """Bytes, inode and name of each file of features that a process has in its memory."""
    lines = (line.split(maxsplit=5) for line in Path(f"/proc/{process}/maps").read_text(encoding="utf-8").splitlines())
    ends = ((line, [int(end, 16) for end in line[0].split("-")]) for line in lines if "features" in line[-1])
    return {(last - first, line[4], line[5]) for line, (first, last) in ends if "s" in line[1]}


def test_shares_have_about_the_same_cost():
    generator = np.random.default_rng(0)
    for _ in range(50):
        costs = generator.uniform(1, 20, size=generator.integers(1, 40))
        shares = balanced(costs, 4)
        assert sorted(place for share in shares for place in share) == list(range(len(costs)))
        assert shares == [sorted(share) for share in shares]
        least = max(costs.max(), costs.sum() / 4)  # no share-out has a smaller largest sum
        assert max(costs[share].sum() for share in shares) <= least * 7 / 4


SRUN = {"SLURM_JOB_ID": "4242", "SLURM_STEP_ID": "1", "SLURM_PROCID": "3", "SLURM_NTASKS": "8",
        "SLURM_NODELIST": "gpu[012-014,020],big1", "SLURM_LOCALID": "1"}  # fmt: skip


def test_environments():
    assert launch_of({}) is None
    torchrun = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "7"}
    assert launch_of(torchrun) == Launch(1, 2, "a", 7)
    assert launch_of({**SRUN, **torchrun}) == Launch(1, 2, "a", 7), "torchrun inside of a batch job"
    assert launch_of(SRUN) == Launch(3, 8, "gpu012", 12_000 + 4242 + 1009)
    assert launch_of({**SRUN, "MASTER_PORT": "99", "MASTER_ADDR": "h"}) == Launch(3, 8, "h", 99)
    batch = {name: value for name, value in SRUN.items() if name != "SLURM_STEP_ID"}
    assert launch_of(batch) is None, "a batch script is no step"
    assert launch_of({**SRUN, "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}) is None
    for broken, essential in (
        ({**torchrun, "RANK": "2"}, "rank 2 of 2"),
        ({**torchrun, "MASTER_PORT": "x"}, "MASTER_PORT is 'x'"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "MASTER_ADDR, MASTER_PORT not"),
        ({**SRUN, "SLURM_NODELIST": ""}, "SLURM's list of nodes is ''"),
    ):
        with pytest.raises(ValueError, match=essential):
            launch_of(broken)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node7", "node7"),
        ("node7,node9", "node7"),
        ("n[003-017,020],gpu1", "n003"),
        ("rack[1-2]n[05,07-09]", "rack1n05"),
        ("a-b.cluster.org,c", "a-b.cluster.org"),
        ("n[4]x,y", "n4x"),
    ],
)
def test_first_host_of_a_list(nodes, first):
    assert first_host(nodes) == first
