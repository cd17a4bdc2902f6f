"""Run docs/learn.md: draw its figures, and write below each block of Python what it printed.

    python scripts/learn.py

The blocks run in their order in an empty folder that has the repository's data: Python as one program, lines of mlip
as commands. Page and figures are written when all of it went well.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "learn.md"
CONFIG, FIGURES = "learn.yaml", Path("docs/learn")
# a block, and the output that stands below it
BLOCK = re.compile(r"^```(python|bash|yaml)\n(.*?)^```\n(?:\n```text\n.*?^```\n)?", flags=re.DOTALL | re.MULTILINE)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="mlip-learn-") as folder:
        (Path(folder) / "data").symlink_to(ROOT / "data")
        os.chdir(folder)
        text = run(PAGE.read_text(encoding="utf-8"), in_a_process)
        for figure in sorted(FIGURES.glob("*.svg")):
            (ROOT / FIGURES).mkdir(exist_ok=True)
            shutil.copyfile(figure, ROOT / FIGURES / figure.name)
        os.chdir(ROOT)
    PAGE.write_text(text, encoding="utf-8")


def in_a_process(line: str) -> None:
    """Run one line of the command line."""
    subprocess.run([sys.executable, "-m", *shlex.split(line), "--quiet"], check=True)


def run(text: str, command: Callable[[str], object]) -> str:
    """Run a page's blocks in the current folder; the page with what its Python prints now."""
    names: dict[str, object] = {}
    done: list[str] = []
    end = 0
    for block in BLOCK.finditer(text):
        language, code = block.groups()
        begin = time.perf_counter()
        printed = io.StringIO()
        if language == "yaml":
            Path(CONFIG).write_text(code, encoding="utf-8")
        elif language == "bash":
            for line in code.splitlines():
                command(line)
        else:
            with redirect_stdout(printed):
                exec(compile(code, PAGE.name, "exec"), names)
        print(f"{time.perf_counter() - begin:6.1f} s  {code.splitlines()[0]}")
        done += [text[end : block.start()], f"```{language}\n{code}```\n"]
        if printed.getvalue():
            done.append(f"\n```text\n{printed.getvalue()}```\n")
        end = block.end()
    return "".join([*done, text[end:]])


if __name__ == "__main__":
    main()
