"""Which structures train, which validate and which test; a split can be kept in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlip.data.paths import existing_file
from mlip.durable import write_whole


class Split(NamedTuple):
    """Places of the structures of each set; no place is in two sets."""

    train: list[int]
    valid: list[int]
    test: list[int]


def split_indices(
    count: int, train: int | float | None, valid: int | float | None, test: int | float | None, seed: int
) -> Split:
    """Sets of the given sizes, one behind the other, out of a seeded shuffle of `count` structures.

    Args:
        train: number of structures, or a fraction in (0, 1] of `count`; None for what the other two leave.
        valid: number or fraction; None for no such set.
        test: number or fraction; None for what the other two leave, or no such set where `train` takes that.

    Raises:
        ValueError: a size is not a count or a fraction, more is asked for than there is, or none
            is left to train on.
    """
    sizes = _sizes(count, {"train": train, "valid": valid, "test": test})
    asked = sum(sizes.values())
    if asked > count:
        wanted = " + ".join(f"{name} {size}" for name, size in sizes.items() if size)
        raise ValueError(f"the split asks for {wanted} = {asked} structures; there are {count}")
    if train is None:
        sizes["train"] = count - asked
    elif test is None:
        sizes["test"] = count - asked
    if sizes["train"] < 1:
        raise ValueError(
            f"the training set is empty: train {train}, valid {valid}, test {test} of {count} structures; "
            "at least one is needed"
        )
    order = np.random.default_rng(seed).permutation(count).tolist()
    first, second = sizes["train"], sizes["train"] + sizes["valid"]
    return Split(order[:first], order[first:second], order[second : second + sizes["test"]])


def read_split(path: str | Path, count: int) -> Split:
    """A split kept in a JSON file `{"train": [...], "valid": [...], "test": [...]}`, for `count` structures.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not such a split, or a place is beyond the data or used twice.
    """
    path = existing_file(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a JSON file ({error}); expected a split as `write_split` writes it") from error
    if not isinstance(content, dict) or set(content) != set(Split._fields):
        found = ", ".join(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path}: expected the lists train, valid and test; found {found or 'nothing'}")
    split = Split(*(content[name] for name in Split._fields))
    _check(path, split, count)
    return split


def write_split(path: str | Path, split: Split) -> None:
    """Keep a split in a JSON file that `read_split` reads."""
    lists = {name: [int(place) for place in places] for name, places in split._asdict().items()}
    write_whole(Path(path), json.dumps(lists) + "\n")


def _sizes(count: int, wanted: dict[str, int | float | None]) -> dict[str, int]:
    """Whole numbers; fractions are rounded as a running sum, so that fractions of sum 1 share out everything."""
    sizes, end = {}, 0.0
    for name, size in wanted.items():
        size = 0 if size is None else size
        if isinstance(size, bool) or not (0 < size <= 1 if isinstance(size, float) else size >= 0):
            raise ValueError(
                f"data.split.{name} is {size}; expected a whole number of structures, or a fraction in (0, 1]"
            )
        start, end = round(end), end + size * count if isinstance(size, float) else round(end) + size
        sizes[name] = round(end) - start
        if size and not sizes[name]:
            raise ValueError(
                f"data.split.{name} is {size}; of {count} structures that is none. Give a number or a larger fraction"
            )
    return sizes


def _check(path: Path, split: Split, count: int) -> None:
    owner: dict[int, str] = {}
    for name, places in split._asdict().items():
        if not isinstance(places, list):
            raise ValueError(f"{path}: {name} is {type(places).__name__}; expected a list of whole numbers")
        for place in places:
            _check_place(path, name, place, count)
            if place in owner:
                raise ValueError(f"{path}: {place} is in {owner[place]} and again in {name}; each may be used once")
            owner[place] = name
    if not split.train:
        raise ValueError(f"{path}: the training set is empty; at least one structure is needed")


def _check_place(path: Path, name: str, place: Any, count: int) -> None:
    if isinstance(place, bool) or not isinstance(place, int):
        raise ValueError(f"{path}: {name} holds {place!r}; expected whole numbers")
    if not 0 <= place < count:
        raise ValueError(f"{path}: {name} holds {place}; expected 0 to {count - 1}, as there are {count} structures")
