"""A training that is killed at any moment, and begun again by the same command, ends as one that was left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the children of the driver are forks")
def test_fifty_kills_change_no_bit(bundled, tmp_path):
    """SIGKILL at 50 random moments, then at each call to the file system; `kills.py` compares and checks every file."""
    command = [sys.executable, Path(__file__).with_name("kills.py"), tmp_path, bundled / "ethanol_xtb.npz"]
    done = subprocess.run(
        [*command, str(KILLS), "1"],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout)
    assert seen["random"]["kills"] >= KILLS
    assert seen["random"]["with_checkpoint"] > 0, "some came while there was something to lose"
    assert seen["at_calls"]["kills"] >= 15 and seen["at_calls"]["in_a_write"] >= 3, seen
