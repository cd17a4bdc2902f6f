"""A small config for studies, on the bundled ethanol, and what the runs of a study leave."""

import json

from interfaces.command import mlip
from interfaces.trained import ETHANOL, TINY


def study(command, folder, *arguments, quiet=("--quiet",)):
    """Run a command on a config whose study folder is `folder / "study"`."""
    folder.mkdir(exist_ok=True)
    path = folder / "tiny.yaml"
    path.write_text(f"run: {{dir: {folder / 'study'}, device: cpu}}\ndata: {{train: {ETHANOL}}}\n", encoding="utf-8")
    return mlip(command, path, *TINY, *arguments, *quiet)


def split(folder):
    """Which structures a run was trained, validated and tested on."""
    return json.loads((folder / "split.json").read_text(encoding="utf-8"))


def results(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def saved(folder, name):
    return json.loads((folder / "study" / f"{name}.json").read_text(encoding="utf-8"))
