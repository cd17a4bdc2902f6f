"""The command line in this process: its exit status and what it prints."""

import logging
import signal
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import NamedTuple

from mlip.cli import main


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


def mlip(*arguments) -> Outcome:
    """Run one command; logging and signal handlers are left as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    numbers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    out, err = StringIO(), StringIO()
    root.handlers = []
    try:
        with redirect_stdout(out), redirect_stderr(err):
            try:
                status = main([str(argument) for argument in arguments])
            except SystemExit as end:  # argparse
                status = end.code
    finally:
        root.handlers, root.level = handlers, level
        for number, handler in numbers.items():
            signal.signal(number, handler)
    return Outcome(status, out.getvalue(), err.getvalue())


def refused(outcome: Outcome, *essentials: str) -> bool:
    """A mistake of the user, said in one message that holds all of the essentials."""
    assert outcome.status == 2, outcome
    assert outcome.err.startswith("mlip: error: "), outcome.err
    assert outcome.err.count("mlip: error:") == 1, outcome.err
    assert "Traceback" not in outcome.err and outcome.out == "", outcome
    missing = [text for text in essentials if text not in outcome.err]
    assert not missing, f"the message lacks {missing}: {outcome.err}"
    return True
