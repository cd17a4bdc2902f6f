"""Data files of RuNNer and n2p2 (`input.data`): structures between `begin` and `end`, a keyword starts each line."""

from __future__ import annotations

import codecs
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlip.archives import OPENERS, open_text
from mlip.data.file_units import with_stated_units
from mlip.data.options import Factors, Normalization, ReadOptions, unit_factors
from mlip.data.selection import selected
from mlip.data.xyz_frames import DAMAGED
from mlip.elements import atomic_number
from mlip.structure import Structure

log = logging.getLogger("mlip.data")

ATOM = ("x", "y", "z", "element", "charge", "atomic energy", "fx", "fy", "fz")
ATOM_NUMBERS = (*ATOM[:3], *ATOM[4:])
# What a comment may say about the numbers: the first one that does so counts.
STATEMENT = re.compile(
    r"units=(?P<energy_unit>[^\s,]+),(?P<length_unit>[^\s,]+)"
    r"(?: mean_energy=(?P<mean_energy>\S+) conv_energy=(?P<conv_energy>\S+) conv_length=(?P<conv_length>\S+))?"
)
# 1.5D-03, and 1.5-103 where an exponent of three digits leaves no room for the letter.
FORTRAN = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+))(?:[dDqQ]|(?=[-+]))([-+]?\d+)")


class _Line(NamedTuple):
    number: int  # in the file, from 1
    text: str
    words: list[str]


class _Block(NamedTuple):
    """The lines between `begin` and `end`."""

    origin: str
    begin: int  # line of the `begin`
    lines: list[_Line]


def read(path: Path, options: ReadOptions) -> list[Structure]:
    """Structures in the units that the user names, else in those that a comment states as `units=eV,Ang`.

    `info` gets the comments, one a line, under "comment", and a total charge that is not zero under "charge". Charges
    and energies of atoms are not read.

    Source: n2p2 documentation, "Configuration file format"; Singraber et al., J. Chem. Theory Comput. 15, 3075 (2019).

    Raises:
        ValueError: the units are not known, a structure is cut short, or a line is not what it should be; the message
            names the structure and the line.
    """
    for name in ("energy_key", "forces_key"):
        if getattr(options, name) is not None:
            raise ValueError(
                f"{path.name}: data.{name} is '{getattr(options, name)}', but a file of format input_data has no keys"
            )
    chosen = selected(options.index, _count(path), path.name)
    reader = _Reader(options)
    with np.errstate(over="ignore"):  # what is no longer finite is refused with its place
        structures = [reader.structure(block) for block in _blocks(path, chosen)]
    if reader.unread["charge"]:
        log.warning("%s: charges of %d atoms are not read; a potential has none", path, reader.unread["charge"])
    if reader.unread["columns"]:
        log.warning("%s: %d atoms have more columns than %s; they are not read", path, reader.unread["columns"], ATOM)
    if any(len(structure) > 1 for structure in structures) and not any(np.any(s.forces) for s in structures):
        log.warning("%s: every force is zero; are they labels? If not, set the weight of the forces to 0", path)
    return structures


def is_input_data(path: Path) -> bool:
    """Whether the file is called `input.data`, or its first word is `begin`."""
    if (path.stem if path.suffix in OPENERS else path.name) == "input.data":
        return True
    try:
        with OPENERS.get(path.suffix, Path.open)(path, mode="rb") as file:
            return bool(file.read(4096).removeprefix(codecs.BOM_UTF8).split()[:1] == [b"begin"])
    except DAMAGED:
        return False


def _texts(path: Path) -> Iterator[str]:
    try:
        with open_text(path, "utf-8-sig", errors="replace") as file:
            yield from file
    except DAMAGED as error:
        raise ValueError(f"{path}: cannot be read, or damaged ({error}). Copy it again") from error


def _lines(path: Path) -> Iterator[_Line]:
    """All lines that are not blank."""
    for number, text in enumerate(_texts(path), 1):
        words = text.split()
        if words:
            yield _Line(number, text, words)


def _count(path: Path) -> int:
    count = sum("begin" in text and text.split()[0] == "begin" for text in _texts(path))
    if not count:
        raise ValueError(f"{path}: no line is 'begin', which starts a structure. Check data.format")
    return count


def _blocks(path: Path, chosen: range) -> Iterator[_Block]:
    """The chosen structures; the file is read up to the last of them."""
    place, block = -1, None
    for line in _lines(path):
        keyword = line.words[0]
        if keyword == "begin":
            if block is not None:
                raise ValueError(
                    f"{block.origin}: line {line.number} is 'begin', but the structure that begins in line "
                    f"{block.begin} has no 'end' yet. Add it, or remove the structure"
                )
            place += 1
            if place > chosen[-1]:
                return
            block = _Block(f"{path.name}#{place}", line.number, [])
        elif block is None:
            raise ValueError(
                f"{path.name}: line {line.number} is '{_shown(line)}', outside of any structure; expected 'begin'. "
                "Remove the line, or check data.format"
            )
        elif keyword == "end":
            if place in chosen:
                yield block
            block = None
        elif place in chosen:
            block.lines.append(line)
    if block is not None:
        raise ValueError(
            f"{block.origin}: cut short; the structure that begins in line {block.begin} has no 'end'. "
            "Copy the file again, or remove this structure"
        )


class _Reader:
    """From lines to structures; remembers elements, units, and what it did not read."""

    def __init__(self, options: ReadOptions) -> None:
        self.options = options
        self.unread: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}
        self._scales: dict[str, tuple[Factors, Normalization | None]] = {}

    def structure(self, block: _Block) -> Structure:
        found: dict[str, list[_Line]] = {name: [] for name in ("comment", "lattice", "atom", "energy", "charge")}
        for line in block.lines:
            if line.words[0] not in found:
                raise ValueError(f"{_at(block, line)}; expected {', '.join(found)} or end in front of the line")
            found[line.words[0]].append(line)
        if len(found["lattice"]) not in (0, 3):
            raise ValueError(
                f"{block.origin}: {len(found['lattice'])} lines 'lattice'; expected three, the rows of the cell, or "
                f"none for a molecule. Mend the structure that begins in line {block.begin}"
            )
        comments = [line.text.strip()[len("comment") :].strip() for line in found["comment"]]
        factors, normalization = self._scale(block.origin, comments)
        numbers, table = self._atoms(block, found["atom"])
        lattice = np.array([_values(block, line, line.words[1:], "xyz") for line in found["lattice"]])
        energy, charge = (self._one(block, found[name]) for name in ("energy", "charge"))
        length, force = factors.length, factors.forces
        if normalization is not None:
            length, force = length / normalization.conv_length, force * normalization.conv_length
            force /= normalization.conv_energy
            if energy is not None:
                energy = energy / normalization.conv_energy + len(numbers) * normalization.mean_energy
        comment = "\n".join(comments[1:] if comments and STATEMENT.fullmatch(comments[0]) else comments)
        return Structure(
            numbers=numbers,
            positions=table[:, :3] * length,
            cell=lattice * length if len(lattice) else np.zeros((3, 3)),
            pbc=np.full(3, bool(len(lattice))),
            energy=None if energy is None else energy * factors.energy,
            forces=table[:, 5:] * force,
            info={**({"comment": comment} if comment else {}), **({"charge": charge} if charge else {})},
            origin=block.origin,
        )

    def _atoms(self, block: _Block, lines: Sequence[_Line]) -> tuple[np.ndarray, np.ndarray]:
        """Atomic numbers, and x, y, z, charge, atomic energy, fx, fy, fz of each atom."""
        numbers: list[int] = []
        values: list[float] = []
        for line in lines:
            words = line.words
            if len(words) < 10:
                raise ValueError(f"{_at(block, line)}; expected nine values: {', '.join(ATOM)}")
            symbol = words[4]
            if symbol not in self._numbers:
                self._numbers[symbol] = atomic_number(symbol, f"{block.origin}: line {line.number}")
            numbers.append(self._numbers[symbol])
            values += _values(block, line, words[1:4] + words[5:10], ATOM_NUMBERS)
            self.unread["columns"] += len(words) > 10
        table = np.array(values, dtype=np.float64).reshape(-1, 8)
        self.unread["charge"] += int(np.count_nonzero(table[:, 3]))
        return np.array(numbers, dtype=np.int64), table

    def _one(self, block: _Block, lines: Sequence[_Line]) -> float | None:
        if len(lines) > 1:
            raise ValueError(f"{_at(block, lines[1])}, but line {lines[0].number} gives that already. Remove one")
        return _values(block, lines[0], lines[0].words[1:], [lines[0].words[0]])[0] if lines else None

    def _scale(self, origin: str, comments: Sequence[str]) -> tuple[Factors, Normalization | None]:
        match = next(filter(None, map(STATEMENT.search, comments)), None)
        said = match.group() if match else ""
        if said not in self._scales:  # so that a warning about units comes once
            stated = {} if match is None else {name: text for name, text in match.groupdict().items() if text}
            self._scales[said] = _scale(self.options, origin, stated)
        return self._scales[said]


def _scale(options: ReadOptions, origin: str, stated: dict[str, str]) -> tuple[Factors, Normalization | None]:
    """Factors to eV and Å, and the normalization, both as the user says, else as the file states."""
    options = with_stated_units(options, origin, stated, ("energy_unit", "length_unit"))
    lacking = [f"data.units.{name}" for name in ("energy", "length") if getattr(options, f"{name}_unit") is None]
    if lacking:
        raise ValueError(
            f"{origin}: the file does not say its units. Set {' and '.join(lacking)}: Hartree and Bohr, or eV and Ang, "
            "as whoever made it knows"
        )
    if options.normalization is None and "mean_energy" in stated:
        names = ("mean_energy", "conv_energy", "conv_length")
        try:
            options = replace(options, normalization=Normalization(*(float(stated[name]) for name in names)))
        except ValueError as error:
            raise ValueError(
                f"{origin}: its comment states no normalization that can be taken back: {error}"
            ) from error
    return unit_factors(options, energy="", length=""), options.normalization


def _values(block: _Block, line: _Line, words: Sequence[str], names: Sequence[str]) -> list[float]:
    if len(words) != len(names):
        raise ValueError(f"{_at(block, line)}; expected {len(names)} number{'s' * (len(names) > 1)}")
    try:
        if "_" not in line.text:
            return [float(word) for word in words]
    except ValueError:
        pass
    values = []
    for name, word in zip(names, words, strict=True):
        value = _number(word)
        if value is None:
            raise ValueError(f"{_at(block, line)}; {name} is '{word}', expected a number. Mend the line")
        values.append(value)
    return values


def _number(word: str) -> float | None:
    """A number as C or Fortran writes it."""
    match = FORTRAN.fullmatch(word)
    try:
        return None if "_" in word else float("e".join(match.groups()) if match else word)
    except ValueError:
        return None


def _at(block: _Block, line: _Line) -> str:
    return f"{block.origin}: line {line.number} is '{_shown(line)}'"


def _shown(line: _Line) -> str:
    text = " ".join(line.words)
    return text if len(text) <= 80 else f"{text[:77]}..."
