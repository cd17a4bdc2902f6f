"""One command for a job that is begun again and again, its exit status, and what may stand in its way."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from interfaces.command import mlip, refused
from interfaces.trained import ETHANOL, TINY, train

from mlip.claim import LOCK_FILE, Claim
from mlip.model.checkpoint import TRAINING, load, load_content
from mlip.stopping import Stopped, stopping_at_once
from mlip.training.loop import Trainer

SHORT = ("training.epochs=3", "data.index=:24", "data.split={valid: 4}", "training.batch_size=4")
STEPS = 5  # in an epoch
REQUEUE = ("--quiet", "--requeue")


def after_steps(monkeypatch, chosen, action):
    """Do something after the chosen steps of this process, counted from 1; the list of steps done."""
    step, done = Trainer._step, []

    def stepped(self, *arguments):
        terms = step(self, *arguments)
        done.append(1)
        if len(done) in chosen:
            action()
        return terms

    monkeypatch.setattr(Trainer, "_step", stepped)
    return done


def content(folder):
    """All that a run leaves but for its times."""
    state = {name: tensor.numpy().tobytes() for name, tensor in load_content(folder)["state"].items()}
    table = [row.rpartition(",")[0] for row in (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()]
    return state, table


def test_the_same_command_begins_goes_on_and_is_done(tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    assert train(tmp_path / "whole", ETHANOL, *SHORT).status == 0
    warn = lambda: signal.raise_signal(signal.SIGUSR1)  # noqa: E731
    done = after_steps(monkeypatch, (2, STEPS, 3 * STEPS), warn)
    for epoch in (1, 1, 3):
        outcome = train(tmp_path, ETHANOL, *SHORT, options=REQUEUE)
        assert outcome.status == 75, outcome
        assert f"stopped by SIGUSR1 in epoch {epoch}; give the same command again" in outcome.err
    assert train(tmp_path, ETHANOL, *SHORT, options=REQUEUE).status == 0
    assert len(done) == 3 * STEPS, "no step is lost or done twice"
    assert content(tmp_path / "run") == content(tmp_path / "whole" / "run")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    outcome = train(tmp_path, ETHANOL, *SHORT, options=REQUEUE)
    assert outcome.status == 0 and "best epoch" in outcome.out
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()} == before


def test_another_config_is_refused(tmp_path, monkeypatch):
    after_steps(monkeypatch, (2,), lambda: signal.raise_signal(signal.SIGUSR1))
    assert train(tmp_path, ETHANOL, *SHORT, options=REQUEUE).status == 75
    changed = ("training.epochs=4", *SHORT[1:], "run.seed=7")
    outcome = train(tmp_path, ETHANOL, *changed, options=REQUEUE)
    assert refused(outcome, "another config", "run.seed, training.epochs", f"--resume {tmp_path / 'run'}")
    outcome = train(tmp_path, ETHANOL, *SHORT, "run.overwrite=true", options=REQUEUE)
    assert refused(outcome, "run.overwrite=true and --requeue")
    assert refused(mlip("train", "--requeue"), "takes a config file")
    assert refused(mlip("train", "--resume", tmp_path / "run", "--requeue"), "--requeue takes the config file")


def test_functions_chosen_from_the_data_are_the_same_config(tmp_path, monkeypatch):
    """The run folder's config lists what `auto` chose; the one that was given is kept beside it."""
    after_steps(monkeypatch, (2,), lambda: signal.raise_signal(signal.SIGUSR1))
    auto = ("model.descriptor=[{set: auto, cutoff: 3.5, budget: 6}]", "training.epochs=1")
    assert train(tmp_path, ETHANOL, *SHORT, *auto, options=REQUEUE).status == 75
    assert "auto" not in (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8").partition("descriptor:")[2][:40]
    assert train(tmp_path, ETHANOL, *SHORT, *auto, options=REQUEUE).status == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGUSR1, 75), (signal.SIGTERM, 143)])
def test_a_signal_before_the_first_step(tmp_path, monkeypatch, number, status):
    """Reading and preparing may take minutes; a job that is warned then is to be queued again as well."""
    monkeypatch.setattr("mlip.run.prepare", lambda *unused, **named: signal.raise_signal(number))
    outcome = train(tmp_path, ETHANOL, *SHORT, options=REQUEUE)
    assert outcome.status == status and "give the same command again" in outcome.err, outcome
    assert not (tmp_path / "run").exists()


def test_a_signal_while_an_object_is_freed():
    """No exception leads out of there; one that came then would be lost, and the job killed without its state."""

    class Freed:
        def __del__(self):
            signal.raise_signal(signal.SIGUSR1)

    hook = sys.unraisablehook
    with pytest.raises(Stopped, match="SIGUSR1"), stopping_at_once():
        Freed()
        limit = time.monotonic() + 10
        while time.monotonic() < limit:
            time.sleep(0.01)
    assert sys.unraisablehook is hook


def test_a_second_process_in_the_folder(tmp_path, monkeypatch):
    after_steps(monkeypatch, (2,), lambda: signal.raise_signal(signal.SIGUSR1))
    assert train(tmp_path, ETHANOL, *SHORT, options=REQUEUE).status == 75
    command = [sys.executable, "-m", "mlip", "train", "--quiet"]
    with Claim(tmp_path / "run"):
        for arguments in (["--resume", tmp_path / "run"], ["--requeue", tmp_path / "tiny.yaml", *TINY, *SHORT]):
            second = subprocess.run([*command, *arguments], capture_output=True, text=True)
            assert second.returncode == 2 and f"process {os.getpid()} on" in second.stderr, second
            assert "is at work there" in second.stderr and "Traceback" not in second.stderr
    assert train(tmp_path, ETHANOL, *SHORT, options=REQUEUE).status == 0


def test_who_lost_the_folder_writes_no_more(tmp_path, monkeypatch):
    """A process that slept so long that another took its run over must not write beside it."""
    lock = tmp_path / "run" / LOCK_FILE
    after_steps(monkeypatch, (STEPS + 2,), lambda: lock.write_text("of another", encoding="utf-8"))
    outcome = train(tmp_path, ETHANOL, *SHORT)
    assert refused(outcome, "took over this run", "Nothing more is written")
    assert len(content(tmp_path / "run")[1]) == 2, "header and first epoch"
    assert lock.exists()


def test_a_disk_that_becomes_full(tmp_path, monkeypatch):
    """No file may grow any more after some steps; the last checkpoint is whole, and the run goes on from it later."""
    (tmp_path / "whole").mkdir()
    assert train(tmp_path / "whole", ETHANOL, *SHORT).status == 0
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    chosen, every = ("training.checkpoint_seconds=0",), tmp_path / "run" / "training.pt"
    after_steps(monkeypatch, (STEPS + 2,), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1])))
    try:
        outcome = train(tmp_path, ETHANOL, *SHORT, *chosen)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused(outcome, str(tmp_path / "run" / "potential.pt"), "cannot be written (File too large)", "Make room")
    progress = load(every, TRAINING)["progress"]
    assert (progress["epoch"], progress["step"]) == (2, 1)
    assert not list((tmp_path / "run").glob("*.partial"))
    assert mlip("train", "--resume", tmp_path / "run", "--quiet").status == 0
    assert content(tmp_path / "run") == content(tmp_path / "whole" / "run")


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    opened = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith(LOCK_FILE):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    outcome = train(tmp_path, ETHANOL, *SHORT)
    assert refused(outcome, f"{tmp_path / 'run' / LOCK_FILE}: cannot be written (Read-only file system)", "permissions")
