"""Two processes never train in one folder, and a dead one keeps nobody out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from mlip.claim import LOCK_FILE, Claim

BEAT, STALE = 0.05, 0.4


def change_lock(folder, **values):
    lock = folder / LOCK_FILE
    time_before = lock.stat().st_mtime
    lock.write_text(json.dumps({**json.loads(lock.read_text(encoding="utf-8")), **values}), encoding="utf-8")
    os.utime(lock, (time_before, time_before))


def leave_lock(folder, **values):
    """The lock of a claim that ended without giving it back; nothing shows life any more."""
    with Claim(folder):
        text = (folder / LOCK_FILE).read_text(encoding="utf-8")
    (folder / LOCK_FILE).write_text(text, encoding="utf-8")
    change_lock(folder, **values)


def test_a_second_claim_is_refused_until_the_first_ends(tmp_path):
    with Claim(tmp_path / "run") as first:
        with (
            pytest.raises(
                ValueError, match=rf"process {os.getpid()} on .* is at work there \(run.lock.*another run.dir"
            ),
            Claim(tmp_path / "run"),
        ):
            raise AssertionError("both hold it")
        first.require()
        assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK_FILE]
    with Claim(tmp_path / "run"):
        pass
    assert not list((tmp_path / "run").iterdir())


def test_a_dead_process_of_this_machine_is_replaced_at_once(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    leave_lock(tmp_path, pid=ended.pid)
    with Claim(tmp_path):
        assert json.loads((tmp_path / LOCK_FILE).read_text(encoding="utf-8"))["pid"] == os.getpid()


def test_a_number_that_another_process_has_by_now(tmp_path):
    leave_lock(tmp_path, began="1")
    with Claim(tmp_path):
        pass


@pytest.mark.parametrize("broken", [b"", b'{"host"', b"[1]"])
def test_a_torn_lock_is_replaced_when_it_is_old(tmp_path, broken):
    (tmp_path / LOCK_FILE).write_bytes(broken)
    started = time.monotonic()
    with Claim(tmp_path, BEAT, STALE):
        assert time.monotonic() - started > 0.5 * STALE


@pytest.mark.parametrize("elsewhere", [{"host": "another"}, {"machine": "another container"}])
def test_a_silent_process_elsewhere_is_waited_for_and_replaced(tmp_path, elsewhere):
    """Its number says nothing here, though it is that of a process of this machine."""
    leave_lock(tmp_path, **elsewhere)
    with Claim(tmp_path, BEAT, STALE) as claim:
        claim.require()
    old = time.time() - 2 * STALE
    leave_lock(tmp_path, **elsewhere)
    os.utime(tmp_path / LOCK_FILE, (old, old))
    started = time.monotonic()
    with Claim(tmp_path, BEAT, STALE):
        assert time.monotonic() - started < 0.5 * STALE, "old enough already"


def test_a_process_elsewhere_that_shows_life_is_left_alone(tmp_path):
    leave_lock(tmp_path, host="another")
    ended = threading.Event()

    def live():
        while not ended.wait(BEAT):
            os.utime(tmp_path / LOCK_FILE)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        with pytest.raises(ValueError, match="on another is at work there"), Claim(tmp_path, BEAT, 100 * STALE):
            raise AssertionError("both hold it")
    finally:
        ended.set()
        thread.join()


def test_a_claim_shows_life(tmp_path):
    with Claim(tmp_path, BEAT):
        before = (tmp_path / LOCK_FILE).stat().st_mtime_ns
        limit = time.monotonic() + 20
        while (tmp_path / LOCK_FILE).stat().st_mtime_ns == before and time.monotonic() < limit:
            time.sleep(BEAT)
        assert (tmp_path / LOCK_FILE).stat().st_mtime_ns > before


def test_who_was_taken_for_dead_writes_no_more(tmp_path):
    with Claim(tmp_path, BEAT) as sleeper:
        change_lock(tmp_path, token="of the other", host="another")
        with pytest.raises(ValueError, match=r"on another took over this run.*Nothing more is written"):
            sleeper.require()
        os.utime(tmp_path / LOCK_FILE, (1, 1))
        time.sleep(5 * BEAT)
        assert (tmp_path / LOCK_FILE).stat().st_mtime == 1, "it shows no life in another's name"
    assert (tmp_path / LOCK_FILE).exists(), "nor does it take the lock of another away"
