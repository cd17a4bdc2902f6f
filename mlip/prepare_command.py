"""The command prepare: data larger than memory, put into a file that a training streams."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlip.inspection import Command


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Make the parser of prepare; `add` makes one from name, command and help."""
    p = add("prepare", _prepare, "write data.train with its neighbor lists as a store, which a training can stream")
    p.add_argument("config", help="YAML file of the training")
    p.add_argument("overrides", nargs="*", metavar="key.path=value", help="replaces a value of the config")
    p.add_argument(
        "--output", type=Path, metavar="FILE", help="the store, *.h5 (default: the name of data.train and .store.h5)"
    )
    p.add_argument("--features", action="store_true", help="store features and Jacobians as well, in run.dtype")
    p.add_argument("--workers", type=int, default=1, metavar="N", help="processes that work on it (default: 1)")
    p.add_argument(
        "--chunk", type=int, default=256, metavar="N", help="structures read and checked together (default: 256)"
    )
    p.add_argument("--overwrite", action="store_true", help="replace a store that was made from something else")


def _prepare(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from tqdm import tqdm

    from mlip.assembly import functions_of, with_chosen_functions
    from mlip.configfile import load_config
    from mlip.data.read import read_structures
    from mlip.descriptors.acsf import ACSF
    from mlip.preparation import labels_of, split_of
    from mlip.reading import read_options
    from mlip.storing import content_of, write_store

    for name in ("workers", "chunk"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} is {getattr(options, name)}; expected at least 1")
    config = load_config(options.config, options.overrides)
    data = config.data
    path = options.output or Path(f"{Path(data.train).stem}.store.h5")
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"--output is {path}; expected a file name in a folder that exists")
    if path.exists() and Path(data.train).exists() and path.samefile(data.train):
        raise ValueError(f"--output is {path}, the data itself; choose another file")
    structures = read_structures(data.train, read_options(data, index=data.index))
    config = with_chosen_functions(config, [structures[n] for n in split_of(config, len(structures)).train])
    elements = sorted({int(z) for structure in structures for z in structure.numbers})
    descriptor = ACSF(elements, functions_of(config, elements))
    bars: list[tqdm] = []

    def progress(what: str, total: int, done: int) -> Callable[[], object]:
        quiet = options.quiet or options.json
        bars.append(tqdm(total=total, initial=done, desc=what, unit="chunk", disable=quiet, dynamic_ncols=True))
        return bars[-1].update

    try:
        made = write_store(
            path,
            structures,
            content_of(
                descriptor,
                features=options.features,
                dtype=config.run.dtype,
                jacobians=bool(labels_of(structures) - {"energy"}),
            ),
            chunk=options.chunk,
            workers=options.workers,
            about={"source": data.train, "index": data.index},
            overwrite=options.overwrite,
            progress=progress,
        )
    finally:
        for bar in bars:
            bar.close()
    size = path.stat().st_size
    summary = {
        "store": str(path),
        "structures": len(structures),
        "chunks": -(-len(structures) // options.chunk),
        "chunks_made": made,
        "functions": len(descriptor.functions),
        "features": options.features,
        "bytes": size,
    }
    held = f"features of {len(descriptor.functions)} functions" if options.features else "no features"
    kept = summary["chunks"] - made
    return summary, (
        f"{path}: {len(structures)} structures with pairs and {held}, {size / 1e9:.3f} GB in {summary['chunks']} chunks"
        f"{f', {kept} of them were there' if kept else ''}; train with data.train={path}"
    )
