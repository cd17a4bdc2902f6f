"""What a person should know before trusting the numbers of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlip.elements import symbol
from mlip.model.kernels import AtomicKernels
from mlip.report.figures import SETS
from mlip.report.findings import Part
from mlip.report.run_folder import RunFolder
from mlip.structure import Structure

OVERFIT = 3.0  # times the error of the training set, from which it is worth a word
FEW_ATOMS = 100  # of an element in the training set
MANY_OUTSIDE = 0.2  # of the structures; a few are in any set
SINGLE = 8.0  # times the median error of a structure: rather a mistake in its labels, or a kind of its own
CONFIDENT = 0.85  # of errors within two standard deviations; normal ones would have 0.95
STILL_FALLING = 0.9  # of the loss some epochs before


def cautions(run: RunFolder, parts: Mapping[str, Part], judged: Part | None) -> list[str]:
    """Sentences, the gravest first; none if there is nothing to say."""
    found = [run.no_data] if run.no_data else []
    if not run.results:
        found.append("The run has not come to its end: the numbers are those of its best epoch so far.")
    if judged is None:
        return found
    if judged.name == "valid":
        found.append(
            "There is no test set. Errors are those of the validation set, which chose the best epoch, so they are "
            "a little too small. Set data.split.test."
        )
    if judged.name == "train":
        found.append("There is neither a test nor a validation set. The errors say how well the training data are "
                     "remembered, not how well others are predicted. Set data.split.")  # fmt: skip
    if run.parts is not None:
        found += _repeated(run.parts.train, getattr(run.parts, judged.name), judged.name)
    if not isinstance(run.potential.atomic, AtomicKernels):  # these meet their labels, and should
        found += _overfit(parts, judged)
    found += _outside(judged) + _closer(parts.get("train"), judged)
    found += _single(judged) + _few(parts.get("train")) + _unfinished(run.metrics, run.results) + _confident(judged)
    return found


def _repeated(train: Sequence[Structure], others: Sequence[Structure], name: str) -> list[str]:
    if name == "train":
        return []
    known = {_key(structure) for structure in train}
    count = sum(_key(structure) in known for structure in others)
    if not count:
        return []
    return [f"{count} of {len(others)} {SETS[name]} structures are also in the training set, atom by atom."]


def _key(structure: Structure) -> bytes:
    return structure.numbers.tobytes() + structure.positions.tobytes() + structure.cell.tobytes()


def _overfit(parts: Mapping[str, Part], judged: Part) -> list[str]:
    if judged.name == "train" or "train" not in parts:
        return []
    found = []
    for key, word in (("energy_mae_per_atom", "energy"), ("forces_mae", "force"), ("stress_mae", "stress")):
        mine, base = judged.results["all"].get(key), parts["train"].results["all"].get(key)
        if mine and base and mine > OVERFIT * base:
            found.append(
                f"The mean {word} error of the {SETS[judged.name]} set is {mine / base:.1f} times that of the "
                "training set: the potential remembers its data. More data help, or a smaller network."
            )
    return found


def _outside(judged: Part) -> list[str]:
    severity = judged.environments.severity
    count = judged.extrapolation
    if judged.name == "train" or not (count.far or count.outside > MANY_OUTSIDE * count.counted):
        return []
    return [
        f"{int((severity > 0).sum())} of {len(severity)} atoms in {count.outside} of {count.counted} "
        f"{SETS[judged.name]} structures are outside of the training set's ranges, {count.far} of the structures by "
        f"more than a width; the worst is in {count.where}: {count.worst}."
    ]


def _closer(train: Part | None, judged: Part) -> list[str]:
    if train is None or judged is train:
        return []
    known = train.environments.closest
    nearer = [
        f"{symbol(a)}-{symbol(b)} {distance:.2f} Å (training {known[a, b]:.2f} Å)"
        for (a, b), distance in judged.environments.closest.items()
        if (a, b) in known and distance < 0.95 * known[a, b]
    ]
    strange = [f"{symbol(a)}-{symbol(b)}" for a, b in judged.environments.closest if (a, b) not in known]
    found = []
    if nearer:
        found.append(
            f"Atoms of the {SETS[judged.name]} set come nearer than any it was trained on: {', '.join(nearer)}."
        )
    if strange:
        found.append(f"Neighbors of the {SETS[judged.name]} set that training never saw: {', '.join(strange)}.")
    return found


def _single(judged: Part) -> list[str]:
    errors = np.array([
        np.sqrt(((p.forces.double().numpy() - s.forces) ** 2).mean())
        for s, p in zip(judged.structures, judged.predictions, strict=True)
        if s.forces is not None and p.forces is not None
    ])  # fmt: skip
    if len(errors) < 10:
        return []
    far = int((errors > SINGLE * np.median(errors)).sum())
    if not far:
        return []
    return [
        f"{far} {SETS[judged.name]} {'structures have' if far > 1 else 'structure has'} force errors more than "
        f"{SINGLE:.0f} times the median: a label that did not converge, or a kind of structure rare in training. "
        "They stand first below."
    ]


def _few(train: Part | None) -> list[str]:
    if train is None or train.total > len(train.structures):  # of a sample one cannot say
        return []
    numbers, counts = np.unique(train.environments.numbers, return_counts=True)
    rare = [f"{symbol(int(z))} ({n})" for z, n in zip(numbers, counts, strict=True) if n < FEW_ATOMS]
    return [f"Few training atoms of {', '.join(rare)}."] if rare else []


def _unfinished(metrics: Mapping[str, Sequence[float]], results: Mapping[str, object]) -> list[str]:
    loss = metrics.get("valid_loss", [])
    if len(loss) < 10 or results.get("best_epoch") != len(loss):
        return []
    before = min(loss[: -max(len(loss) // 10, 1)])
    if min(loss) > STILL_FALLING * before:
        return []
    return ["The best epoch is the last and the validation loss was still falling: more epochs would help."]


def _confident(judged: Part) -> list[str]:
    found = []
    for kind in ("energy", "forces"):
        share = judged.results["all"].get(f"{kind}_within_2_std")
        if share is not None and share < CONFIDENT:
            found.append(
                f"The committee is too sure of its {kind}: {share:.0%} of the errors are within two standard "
                "deviations; 95 % would be right."
            )
    return found
