"""One process at a time in a run folder, also where several machines share the file system."""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlip.durable import writing
from mlip.machine import machine

logger = logging.getLogger(__name__)

LOCK_FILE = "run.lock"
BEAT = 10.0  # s between two signs of life
STALE = 120.0  # s without one after which a process on another machine is taken for dead; network files lag up to 60


class Claim:
    """Holds a run folder for this process while it is entered, by a lock file that shows signs of life.

    A lock is left by a process that was killed. On this machine the process is looked for. Of another machine only the
    time of the file tells, by the clock of the file system: it is watched until it moves or is too old. Locks of the
    system (flock) are not used, since network file systems keep them unreliably.
    """

    def __init__(self, folder: Path, beat: float = BEAT, stale: float = STALE) -> None:
        self.folder, self._lock = folder, folder / LOCK_FILE
        self._beat, self._stale = beat, stale
        self._me = {
            "host": platform.node(),
            "machine": " ".join(machine()[1:]),
            "pid": os.getpid(),
            "began": _began(os.getpid()),
            "token": uuid.uuid4().hex,
        }
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Claim:
        """Make the folder if need be, and take it.

        Raises:
            ValueError: another process is at work there, or the folder cannot be written.
        """
        with writing(self._lock):
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._created():
                self._take_over()
        self._thread = threading.Thread(target=self._show_life, name="mlip claim", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()
            self._thread = None
        if self._is_mine():
            self._lock.unlink(missing_ok=True)

    def require(self) -> None:
        """See that the folder is still ours: a process that slept for minutes may have been taken for dead.

        Raises:
            ValueError: another process took it over.
        """
        if self._thread and not self._is_mine():
            owner, _ = self._look() or (None, 0.0)
            raise ValueError(
                f"{self.folder}: {LOCK_FILE} says that {_name(owner)} took over this run, because this one showed no "
                "sign of life for long. Nothing more is written by this one"
            )

    def _created(self) -> bool:
        try:
            number = os.open(self._lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                json.dump(self._me, file)
        except OSError:
            self._lock.unlink(missing_ok=True)
            raise
        return True

    def _take_over(self) -> None:
        """Replace the lock of a process that is dead, which may take a while to tell."""
        mine = self._lock.with_name(f"{LOCK_FILE}.{self._me['token']}")
        mine.write_text(json.dumps(self._me), encoding="utf-8")
        first: float | None = None
        try:
            while not self._created():
                owner, beat = self._look() or (None, 0.0)
                if not beat:  # it was given back just now
                    continue
                os.utime(mine)  # by the clock of the file system
                age = mine.stat().st_mtime - beat
                here = owner and all(owner[name] == self._me[name] for name in ("host", "machine"))
                if _alive(owner) if owner and here else beat != (first or beat):
                    raise ValueError(
                        f"{self.folder}: {_name(owner)} is at work there ({LOCK_FILE}, last sign of life "
                        f"{max(age, 0.0):.0f} s ago). Wait for it or stop it; a second run needs another run.dir"
                    )
                if here or age > self._stale:
                    logger.info("%s: %s, which held it, is dead; going on", self.folder, _name(owner))
                    mine.replace(self._lock)
                    return
                if first is None:
                    logger.info("%s: waiting for a sign of life of %s", self.folder, _name(owner))
                    first = beat
                time.sleep(self._beat / 10)
        finally:
            mine.unlink(missing_ok=True)

    def _look(self) -> tuple[dict[str, Any] | None, float] | None:
        """What stands in the lock (None: nothing that can be read), and its time; None if there is no lock.

        The file is opened for its time, since a network file system may remember an older one.
        """
        try:
            with self._lock.open(encoding="utf-8") as file:
                beat = os.fstat(file.fileno()).st_mtime
                owner = json.load(file)
        except FileNotFoundError:
            return None
        except ValueError:
            return None, beat
        complete = isinstance(owner, dict) and owner.keys() == self._me.keys()
        return (owner if complete else None), beat

    def _is_mine(self) -> bool:
        try:
            found = self._look()
        except OSError:  # of a network; the next look tells
            return True
        return found is not None and found[0] == self._me

    def _show_life(self) -> None:
        while not self._ended.wait(self._beat):
            with suppress(OSError):
                if self._is_mine():
                    os.utime(self._lock)


def _name(owner: dict[str, Any] | None) -> str:
    return f"process {owner['pid']} on {owner['host']}" if owner else "an unknown process"


def _alive(owner: dict[str, Any]) -> bool:
    """Whether a process of this machine still runs; another one may have its number by now."""
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return _began(owner["pid"]) == owner["began"]


def _began(pid: int) -> str | None:
    """When a process began, in ticks since the machine did; None where the system does not say, or it is a zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]
