"""Everything a training needs, made and checked before anything is computed or written."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from mlip.arithmetic import require_repeatable
from mlip.assembly import (
    as_solved,
    functions_of,
    network_shapes,
    reference_energies_of,
    repulsion_of,
    with_chosen_functions,
)
from mlip.baseline import (
    baseline_of,
    errors_alone,
    errors_in_words,
    pair_descriptor,
    summary_of,
    touched_by_repulsion,
)
from mlip.config import Config
from mlip.data.digest import add_structures
from mlip.data.read import read_structures
from mlip.data.split import Split, read_split, split_indices
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import described
from mlip.descriptors.store import bytes_needed
from mlip.device import device_of
from mlip.elements import symbol, symbols
from mlip.fine_tuning import known_references, require_fitting, start_of, with_new_elements
from mlip.model.potential import Potential
from mlip.model.targets import less_pair_term
from mlip.pair.potential import PairPotential
from mlip.reading import read_options
from mlip.structure import Structure
from mlip.training.examples import Examples

logger = logging.getLogger(__name__)

PARTS = ("train", "valid", "test")
LABELS = ("energy", "forces", "stress")
VALID_SHARE = 0.1  # of data.train, when the config says nothing


@dataclass(frozen=True)
class Parts:
    """The structures of a run, and where in data.train they stand (empty for a part from its own file)."""

    train: Sequence[Structure]
    valid: Sequence[Structure]
    test: Sequence[Structure]
    split: Split

    def fingerprint(self) -> str:
        """A hash of everything that was read; it tells whether the data changed since."""
        digest = hashlib.sha256()
        for part in (self.train, self.valid, self.test):
            add_structures(digest, part)
            digest.update(b"|")
        return digest.hexdigest()


@dataclass(frozen=True)
class Preparation:
    """A run that is ready to begin."""

    config: Config  # with the functions that were chosen from the data
    parts: Parts
    device: torch.device
    descriptor: ACSF
    targets: list[Structure]  # what the model learns: parts.train less repulsion and baseline
    examples: dict[str, Examples]  # by part, with labels less these as well
    references: list[float]  # eV, by element; NaN: fitted to what `start` leaves of the energies
    start: Potential | None = None  # whose training is continued on these data
    baseline: PairPotential | None = None  # taken from the labels as the repulsion is
    touched: int = 0  # training structures into which the repulsion reaches

    def summary(self) -> dict[str, Any]:
        """What was found, for a person to look over."""
        train = self.parts.train
        sizes = [len(s) for s in train]
        dtype = getattr(torch, self.config.run.dtype)
        kept = bytes_of_features(self.descriptor, [self.examples[name] for name in PARTS if name != "test"], dtype)
        return {
            "structures": {name: len(getattr(self.parts, name)) for name in PARTS},
            "elements": symbols(self.descriptor.elements),
            "atoms per structure": f"{min(sizes)} to {max(sizes)}",
            "labels in train": {name: sum(getattr(s, name) is not None for s in train) for name in LABELS},
            **_ranges(train),
            "shortest distance (Å)": round(min(self.examples[name].shortest for name in PARTS), 3),
            "symmetry functions": len(self.descriptor.functions),
            "of these": described(self.descriptor.functions),
            "neighbors per atom": round(self.examples["train"].pairs / sum(sizes), 1),
            "kept features (GB)": round(kept / 1e9, 3),
            "reference energies (eV)": {
                symbol(z): "fitted to the rest" if np.isnan(energy) else round(energy, 4)
                for z, energy in zip(self.descriptor.elements, self.references, strict=True)
            },
            **({"starts from": self.config.training.start_from} if self.start else {}),
            **summary_of(
                repulsion_of(self.config, self.descriptor),
                self.touched,
                self.baseline,
                errors_alone(self.targets, self.references, self.descriptor.elements),
                len(train),
            ),
            "device": str(self.device),
            "run folder": self.config.run.dir,
        }


def bytes_of_features(descriptor: ACSF, examples: Iterable[Examples], dtype: torch.dtype) -> int:
    """Memory that the kept features of these structures take (bytes)."""
    return sum(bytes_needed(descriptor, part.atoms, dtype, jacobians=part.needs_gradients) for part in examples)


def _ranges(structures: Sequence[Structure]) -> dict[str, str]:
    """Sizes of the labels; a wrong unit or key shows here."""
    energies = [s.energy / len(s) for s in structures if s.energy is not None]
    forces = [s.forces for s in structures if s.forces is not None]
    stress = [s.stress for s in structures if s.stress is not None]
    ranges = {}
    if energies:
        ranges["energy per atom (eV)"] = f"{min(energies):.4f} to {max(energies):.4f}"
    if forces:
        components = np.concatenate(forces)
        root = np.sqrt((components**2).mean())
        ranges["forces (eV/Å)"] = f"root mean square {root:.3f}, largest {np.abs(components).max():.3f}"
    if stress:
        ranges["stress (eV/Å³)"] = f"{np.min(stress):.4f} to {np.max(stress):.4f}, positive under tension"
    return ranges


def prepare(config: Config, saved: Potential | None = None, device: torch.device | None = None) -> Preparation:
    """Read and check everything the config names; nothing is written.

    `saved` is the potential of an interrupted run; it stands for the one that run started from. `device` is the one to
    use where run.device does not say it all.

    Raises:
        ValueError: config and data do not fit together; the message says what and where.
    """
    config = as_solved(config)
    device = require_runnable(config, device if config.model.kind == "network" else None)
    start = saved if config.training.start_from else None
    if config.training.start_from and start is None:
        config, start = start_of(config)
    parts = read_parts(config, start.elements if start else ())
    if config.model.kind != "pair":
        config = with_chosen_functions(config, parts.train)
    if start:
        config = with_new_elements(config, start, parts.train)
    if config.training.solve_last_layer and not parts.valid:
        raise ValueError(
            "training.solve_last_layer chooses its ridge on validation structures, and there are none; "
            "give data.valid or data.split.valid, or set it to false"
        )
    elements = sorted({int(z) for s in parts.train for z in s.numbers} | set(start.elements if start else ()))
    alone = config.model.kind == "pair"
    descriptor = (pair_descriptor(config, elements) if alone else ACSF(elements, functions_of(config, elements))).to(
        device
    )
    repulsion = repulsion_of(config, descriptor)
    targets = {name: less_pair_term(getattr(parts, name), repulsion) for name in PARTS}
    touched = touched_by_repulsion(parts.train, targets["train"])
    baseline = baseline_of(config, descriptor, targets["train"], saved or start)
    targets = {name: less_pair_term(part, baseline) for name, part in targets.items()}
    everything = [structure for part in targets.values() for structure in part]
    if start:
        require_fitting(config, start, elements)
        references = known_references(config, start, targets["train"], everything, elements)
    else:
        network_shapes(config, elements)
        references = reference_energies_of(config, targets["train"], everything, elements)
        if _only_differences(parts.train) and config.model.reference_energies.method in ("least_squares", "mean"):
            logger.info(
                "no training structure has an energy: forces and stress determine it but for a constant of each "
                "element, which stays 0 eV; set model.reference_energies if you know it"
            )
    examples = {name: Examples(targets[name], descriptor.cutoff, device) for name in PARTS}
    if not examples["train"].pairs:
        raise ValueError(
            f"{config.data.train}: no atom has a neighbor within {descriptor.cutoff} Å; nothing can be learned. "
            "Check data.units.length and the cutoffs in model.descriptor"
        )
    if baseline is not None:
        left = errors_alone(targets["train"], references, elements)
        logger.info("the pair potential leaves %s of the training structures", errors_in_words(left))
    return Preparation(
        config, parts, device, descriptor, targets["train"], examples, references, start, baseline, touched
    )


def require_runnable(config: Config, device: torch.device | None = None) -> torch.device:
    """See that the run folder, its listeners and the device can be used; returns the device.

    Without a `device` it is that of run.device.

    Raises:
        ValueError: one cannot.
    """
    device = device or device_of(config.run.device)
    if config.run.deterministic:
        require_repeatable(device)
    folder = Path(config.run.dir)
    try:
        blocked = next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None)
    except OSError as error:  # a name that is too long
        raise ValueError(f"run.dir is {folder}: {error.strerror}; expected a name that a folder can have") from error
    if blocked is not None:
        raise ValueError(
            f"run.dir is {folder}, but {blocked} is there, which is a file; expected a folder or a new name"
        )
    if config.run.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ValueError("run.tensorboard is true, but TensorBoard is missing: pip install tensorboard")
    if config.training.cache == "disk" and device.type != "cpu":
        raise ValueError(f"training.cache is disk, which a CPU reads; run.device is {device}. Set memory, off or auto")
    return device


def read_parts(config: Config, known: Sequence[int] = ()) -> Parts:
    """Read the data files and divide them as the config says; `known` elements need not be in the training data.

    Raises:
        ValueError: a file or a split is unfit, or validation or test data hold an element that training data do not.
    """
    data = config.data
    structures = read_structures(data.train, read_options(data, index=data.index))
    split = split_of(config, len(structures))
    chosen = {name: [structures[i] for i in places] for name, places in split._asdict().items()}
    for name in ("valid", "test"):
        path = getattr(data, name)
        if path is not None:
            if chosen[name]:
                refuse_two_sources(config, name)
            chosen[name] = read_structures(path, read_options(data))
    parts = Parts(chosen["train"], chosen["valid"], chosen["test"], split)
    require_learnable(config, labels_of(parts.train), labels_of(parts.valid) if parts.valid else None)
    known_here = {int(z) for s in parts.train for z in s.numbers} | set(known)
    require_known(known_here, [*parts.valid, *parts.test], "training structure")
    return parts


def refuse_two_sources(config: Config, part: str) -> NoReturn:
    """Say that a part has a file of its own and a share of data.train."""
    given = "data.split.file" if config.data.split.file else f"data.split.{part}"
    raise ValueError(f"data.{part} and {given} both give structures; give the file or the amount")


def labels_of(structures: Sequence[Structure]) -> set[str]:
    """The kinds of labels that any structure has."""
    return {name for name in LABELS if any(getattr(s, name) is not None for s in structures)}


def require_learnable(config: Config, train: set[str], valid: set[str] | None) -> None:
    """See that training and, if there are any, validation structures have labels of kinds that serve a training.

    Raises:
        ValueError: they do not.
    """
    data, loss = config.data, config.training.loss
    if not train:
        raise ValueError(
            f"{data.train}: no structure has an energy, forces or stress to train on. "
            "Set data.energy_key and data.forces_key to their names in the file"
        )
    weighed = {name for name in LABELS if getattr(loss, name).weight}
    if not weighed & train and config.training.second_stage.start is None:
        raise ValueError(
            f"{data.train}: the training structures have no label that the loss weighs, so nothing can be learned. "
            "Give a weight to what they have in training.loss"
        )
    if valid is not None and not weighed & valid - ({"energy"} - train):
        where = data.valid or data.train
        raise ValueError(
            f"{where}: the validation structures have no label that the loss weighs and the training determines, so no "
            "best epoch can be chosen. Give labelled structures, or data.split.valid=0"
        )


def _only_differences(structures: Sequence[Structure]) -> bool:
    """Whether the labels leave the energy undetermined by a constant: forces and stress, but no energy."""
    return not any(s.energy is not None for s in structures)


def require_known(known: set[int], structures: Sequence[Structure], owner: str) -> None:
    """See that structures hold only known elements.

    Raises:
        ValueError: one does not; the message names it, the elements, and `owner`, who should know them.
    """
    for s in structures:
        strangers = sorted({int(z) for z in s.numbers} - known)
        if strangers:
            raise ValueError(
                f"{s.origin}: holds {symbols(strangers)}, which no {owner} has ({symbols(sorted(known))}). "
                "Train on structures with these elements, or remove this one"
            )


def split_of(config: Config, count: int) -> Split:
    """How the config divides the structures of data.train.

    Raises:
        ValueError: it asks for what is not there.
    """
    data, split = config.data, config.data.split
    if split.file is not None:
        return read_split(split.file, count)
    valid = split.valid
    if valid is None:
        valid = VALID_SHARE if not data.valid and count * VALID_SHARE >= 1 else 0
    seed = config.run.seed if split.seed is None else split.seed
    try:
        return split_indices(count, split.train, valid, split.test or 0, seed)
    except ValueError as error:
        raise ValueError(f"{data.train}: {error}") from error
