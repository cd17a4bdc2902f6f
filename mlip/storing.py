"""Writing a store: structures with their pairs and, if asked for, features and Jacobians, by one process or several."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from mlip.batch import AtomsBatch, Collection, Properties, to_batch
from mlip.data.digest import add_structures
from mlip.data.store_file import STRUCTURES, Quantity, StoreFile, create_store, differences, starts_of
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import function_from_dict
from mlip.descriptors.store import FeatureStore, Layout
from mlip.device import configure_cpu
from mlip.stopping import warning_held
from mlip.structure import Structure

# What must be the same for chunks that are there to be kept.
PLAIN = ("data", "structures", "chunk", "cutoff", "features")
OF_FEATURES = ("elements", "functions", "dtype", "jacobians")
LARGEST_SHIFT = np.iinfo(STRUCTURES["shifts"].dtype).max
T = TypeVar("T")


@dataclass(frozen=True)
class Content:
    """What a store has besides structures: all pairs within the cutoff of a descriptor, and perhaps its features."""

    elements: tuple[int, ...]
    functions: tuple[dict[str, Any], ...]
    features: bool = False
    dtype: str = "float32"  # of features and Jacobians
    jacobians: bool = True  # without them, features serve energies only

    @property
    def descriptor(self) -> ACSF:
        """Made again from its plain values."""
        return ACSF(self.elements, list(map(function_from_dict, self.functions)))

    def plan(self) -> dict[str, Any]:
        """Plain values as they stand in the file."""
        plan: dict[str, Any] = json.loads(json.dumps({"cutoff": self.descriptor.cutoff, **vars(self)}))
        return plan


def content_of(descriptor: ACSF, *, features: bool, dtype: str = "float32", jacobians: bool = True) -> Content:
    """What a store for this descriptor has."""
    functions = tuple(function.as_dict() for function in descriptor.functions)
    return Content(tuple(descriptor.elements), functions, features, dtype, jacobians)


class Writer:
    """Makes the chunks of a store; each process that writes has one."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.descriptor = content.descriptor
        self.layout = Layout(self.descriptor, content.jacobians) if content.features else None
        self.file: StoreFile | None = None  # once there is something to write

    def quantities(self) -> dict[str, Quantity]:
        """The arrays of the store."""
        found = dict(STRUCTURES)
        if self.layout:
            dtype = np.dtype(self.content.dtype).str[1:]
            found["features"] = Quantity("atom", dtype, (len(self.descriptor.functions),))
            for kind, columns in enumerate(self.layout.columns):
                found[f"jacobian_{kind}"] = Quantity(f"row_{kind}", dtype, (3, len(columns)))
        return found

    def counts(self, structures: Sequence[Structure]) -> dict[str, np.ndarray]:
        """How many rows of each kind each structure has."""
        made = [to_batch(structure, self.descriptor.cutoff)[0] for structure in structures]
        found = {
            "atom": np.array([len(batch.numbers) for batch in made]),
            "pair": np.array([batch.pairs.shape[1] for batch in made]),
        }
        if self.layout:
            atoms = Collection(made)
            owner = atoms.whole.structure[atoms.whole.pairs[0]].numpy()
            for kind, mask in enumerate(self.layout.masks(atoms.whole)):
                found[f"row_{kind}"] = np.bincount(owner[mask], minlength=len(made))
        return found

    def arrays(self, structures: Sequence[Structure]) -> dict[str, np.ndarray]:
        """What stands in the file of a chunk of structures."""
        made = [to_batch(structure, self.descriptor.cutoff) for structure in structures]
        arrays = _plain_arrays(structures, made)
        if self.layout:
            atoms = Collection([batch for batch, _ in made])
            dtype = getattr(torch, self.content.dtype)
            store = FeatureStore(self.descriptor, atoms, dtype, jacobians=self.content.jacobians)
            arrays["features"] = store.features.numpy()
            arrays |= {f"jacobian_{kind}": rows.jacobian.numpy() for kind, rows in enumerate(store.rows)}
        return arrays


def write_store(
    path: Path,
    structures: Sequence[Structure],
    content: Content,
    *,
    chunk: int = 256,
    workers: int = 1,
    about: dict[str, Any] | None = None,
    overwrite: bool = False,
    progress: Callable[[str, int, int], Callable[[], object]] = lambda what, total, done: lambda: None,
) -> int:
    """Write a store, or go on with one that was begun; whole chunks of it are kept. Returns how many were made.

    Args:
        structures: a slice of them is asked for at a time, so they may be made or read then.
        chunk: structures that are written, checked and read together.
        about: what else the file should tell, such as its source.
        overwrite: replace a store that was made from something else.
        progress: given what is done, how many chunks that are and how many are there, returns what to call after each.

    Raises:
        ValueError: there is another file or store, a structure is unfit, or the disk is full.
    """
    portions = [range(first, min(first + chunk, len(structures))) for first in range(0, len(structures), chunk)]
    digest = hashlib.sha256()
    for part in portions:
        add_structures(digest, structures[part.start : part.stop])
    facts = {"data": digest.hexdigest(), "structures": len(structures), "chunk": chunk}
    plan = {**(about or {}), "mlip": version("mlip"), **facts, **content.plan()}
    writer = Writer(content)
    with _processes(workers, content, path) as run:
        if not _can_go_on(path, plan, overwrite):
            step = progress("pairs", len(portions), 0)
            counts = list(run(_counts, writer, ((None, structures[p.start : p.stop]) for p in portions), step))
            starts = {kind: starts_of(np.concatenate([c[kind] for c in counts])) for kind in counts[0]}
            create_store(path, plan, starts, writer.quantities())
        with StoreFile(path) as store:
            left = [n for n in range(store.chunks) if not store.is_good(n)]
        step = progress("chunks", len(portions), len(portions) - len(left))
        tasks = ((n, structures[portions[n].start : portions[n].stop]) for n in left)
        for _ in run(_write, writer, tasks, step):
            pass
    with StoreFile(path, writable=True) as store:
        store.flush()
    return len(left)


def _can_go_on(path: Path, plan: dict[str, Any], overwrite: bool) -> bool:
    """Whether there is a store made from the same.

    Raises:
        ValueError: there is something else that must not be replaced.
    """
    if not path.exists():
        return False
    try:
        with StoreFile(path) as store:
            names = [*PLAIN, *(OF_FEATURES if plan["features"] else ())]
            found = differences(plan, store.plan, names)
    except ValueError as error:
        if overwrite:
            return False
        raise ValueError(
            f"{path}: exists already, and is no store to go on with ({error}). Replace it: --overwrite"
        ) from error
    if found and not overwrite:
        shown = ["other data" if text.startswith("data ") else text for text in found]
        raise ValueError(
            f"{path}: exists already and was made from something else; now it would be {'; '.join(shown)}. "
            "Replace it: --overwrite, or choose another file: --output"
        )
    return not found


Task = tuple[int | None, list[Structure]]
_here: tuple[Writer, Path] | None = None  # of a worker process


def _counts(writer: Writer, path: Path, chunk: int | None, structures: list[Structure]) -> dict[str, np.ndarray]:
    return writer.counts(structures)


def _write(writer: Writer, path: Path, chunk: int | None, structures: list[Structure]) -> None:
    assert chunk is not None
    writer.file = writer.file or StoreFile(path, writable=True)
    writer.file.write_chunk(chunk, writer.arrays(structures))


@contextmanager
def _processes(workers: int, content: Content, path: Path) -> Iterator[Callable[..., Iterator[Any]]]:
    """What runs a function on many chunks, in this process or in several; results come in order."""
    if workers == 1:

        def here(function: Callable[..., T], writer: Writer, tasks: Iterator[Task], step: Callable) -> Iterator[T]:
            for task in tasks:
                yield function(writer, path, *task)
                step()

        yield here
        return
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with warning_held():  # the first process ends the others, whether or not a batch system warns them as well
        pool = ProcessPoolExecutor(workers, spawn, _begin, (content, path))
    with pool:

        def there(function: Callable[..., T], writer: Writer, tasks: Iterator[Task], step: Callable) -> Iterator[T]:
            waiting: deque[Future[T]] = deque()
            for task in tasks:
                with warning_held():
                    waiting.append(pool.submit(_in_worker, function, task))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
                    step()
            while waiting:
                yield waiting.popleft().result()
                step()

        try:
            yield there
        except BrokenProcessPool as error:
            raise ValueError(
                f"{path}: a worker was killed, perhaps for its memory ({error}). The same command goes on; fewer "
                "workers (--workers) or smaller chunks (--chunk) take less"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begin(content: Content, path: Path) -> None:
    """Make a worker process ready; it ends with the process that started it."""
    global _here
    configure_cpu(1)
    _here = Writer(content), path
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _in_worker(function: Callable[..., T], task: Task) -> T:
    assert _here is not None
    return function(*_here, *task)


def _plain_arrays(
    structures: Sequence[Structure], made: Sequence[tuple[AtomsBatch, Properties]]
) -> dict[str, np.ndarray]:
    shifts = np.concatenate([batch.shifts.numpy() for batch, _ in made])
    if len(shifts) and np.abs(shifts).max() > LARGEST_SHIFT:
        raise ValueError(f"{structures[0].origin}: a pair is more than {LARGEST_SHIFT} lattice vectors apart")
    return {
        "numbers": np.concatenate([structure.numbers for structure in structures]),
        "positions": np.concatenate([structure.positions for structure in structures]),
        "forces": np.concatenate([labels.forces.numpy() for _, labels in made if labels.forces is not None]),
        "energy": np.concatenate([labels.energy.numpy() for _, labels in made]),
        "stress": np.concatenate([labels.stress.numpy() for _, labels in made if labels.stress is not None]),
        "cell": np.stack([structure.cell for structure in structures]),
        "pbc": np.stack([structure.pbc for structure in structures]),
        "pairs": np.concatenate([batch.pairs.numpy().T for batch, _ in made]),
        "shifts": shifts,
    }
