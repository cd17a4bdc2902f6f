"""Signals that end a command in good order, and the exit status that each of them leaves."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

REQUEUE = 75  # exit status: nothing is wrong, put the job into the queue again (EX_TEMPFAIL of sysexits.h)
# Of a batch system before the time is up, as with SLURM's --signal=USR1@120; not every system has it.
WARNING = getattr(signal, "SIGUSR1", None)
AGAIN = 0.05  # s until a signal that was lost is sent again


def exit_status(number: int) -> int:
    """75, "requeue me", if the signal that stopped a command was the warning of a batch system, else 128 + N."""
    return REQUEUE if number == WARNING else 128 + number


class Stopped(Exception):  # noqa: N818 (no error: the user asked for it)
    """A signal ended the run after its state was saved."""

    def __init__(self, number: int, where: str) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} {where}")
        self.number = number


class StopSignals:
    """Takes note of SIGINT, SIGTERM and SIGUSR1 while it is entered; `number` is that of the first that came, or 0.

    A batch system may send several, so only Ctrl-C is impatient: after another signal it interrupts at once.
    Outside of the main thread, where Python allows no handlers, nothing is noted.
    """

    def __init__(self) -> None:
        self.number = 0
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self.number = 0
        self._handlers = _exchanged(dict.fromkeys((signal.SIGINT, *_polite()), self._take))
        return self

    def __exit__(self, *unused: object) -> None:
        _exchanged(self._handlers)

    def __call__(self) -> bool:
        """Whether one came."""
        return bool(self.number)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = self.number or number


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """While entered, SIGTERM and SIGUSR1 raise `Stopped` wherever the program is: where nothing is lost by that.

    Where no exception leads out, as when an object is freed, the signal is sent again a moment later.
    """
    timers: list[threading.Timer] = []
    hook = sys.unraisablehook

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number, "outside of the epochs")

    def unraisable(lost: Any) -> None:
        if isinstance(lost.exc_value, Stopped):
            timers.append(threading.Timer(AGAIN, os.kill, (os.getpid(), lost.exc_value.number)))
            timers[-1].start()
        else:
            hook(lost)

    handlers = _exchanged(dict.fromkeys(_polite(), stop))
    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
            timer.join()
        sys.unraisablehook = hook
        _exchanged(handlers)


@contextmanager
def warning_held() -> Iterator[None]:
    """While entered, SIGUSR1 waits; processes that are started meanwhile never get it."""
    if WARNING is None:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [WARNING])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _polite() -> list[int]:
    """The signals besides Ctrl-C."""
    return [signal.SIGTERM, *([] if WARNING is None else [WARNING])]


def _exchanged(handlers: dict[int, Callable[[int, FrameType | None], Any] | Any]) -> dict[int, Any]:
    """Set handlers, and return those that were there."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number, handler in handlers.items()}
