"""What every case must end in: a result, or one readable ValueError; within seconds and without much memory."""

import gc
import logging
import os
import resource
import signal
import time
import unicodedata
import warnings
from contextlib import contextmanager
from pathlib import Path

from mlip.messages import shown

LONG = bool(os.environ.get("MLIP_LONG"))
SECONDS, WAITED, BYTES = 10.0, 60.0, 1 << 30  # of the processor, and of a clock on the wall
CASES = {"result": 0, "refused": 0}


class Hang(BaseException):
    """The case took longer than allowed."""


@contextmanager
def limits():
    """Raise `Hang` after 10 s, and make what takes more than 1 GB on top of what there is a MemoryError.

    These are seconds of the processor, since other programs may hold a test up; what waits is stopped as well.
    """

    def stop(number, frame):
        raise Hang

    clocks = {signal.ITIMER_PROF: (signal.SIGPROF, SECONDS), signal.ITIMER_REAL: (signal.SIGALRM, WAITED)}
    before = {number: signal.signal(number, stop) for number, _ in clocks.values()}
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, hard))
    began = time.process_time()
    for clock, (_, seconds) in clocks.items():
        signal.setitimer(clock, seconds)
    try:
        yield
    finally:
        for clock in clocks:
            signal.setitimer(clock, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.process_time() - began < SECONDS, "a call that no signal interrupts took longer than allowed"


def calm(call, *names):
    """Run a case: its result, or None where it was refused with a message that names one of `names`."""
    logging.disable(logging.CRITICAL)
    try:
        with limits(), warnings.catch_warnings():
            warnings.simplefilter("error")  # the user would read them between the lines
            result = call()
    except ValueError as error:
        message = shown(str(error))
        readable(message)
        assert any(name in message for name in names), f"the message does not say where: {message[:500]}"
        CASES["refused"] += 1
        return None
    except FileNotFoundError as error:
        assert any(name in str(error) for name in names), error
        CASES["refused"] += 1
        return None
    except MemoryError:
        gc.collect()
        raise
    finally:
        logging.disable(logging.NOTSET)
    CASES["result"] += 1
    return result


def readable(message):
    """One message: some lines of text that a terminal shows as they are."""
    assert message.strip() and "Traceback" not in message
    assert len(message) <= 4000, f"{len(message)} characters: {message[:300]}"
    strange = {c for c in message if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"}
    assert not strange, f"control characters {strange!r} in {message[:300]!r}"
