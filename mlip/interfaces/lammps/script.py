"""A user's LAMMPS input, made ready for a potential that LAMMPS itself does not know.

In the input the potential may stand like any pair style of LAMMPS:

    pair_style mlip                        or   pair_style hybrid/overlay mlip zbl 0.8 2.0
    pair_coeff * * Si O                         pair_coeff * * mlip Si O

`pair_style zero` takes its place, which makes LAMMPS keep ghosts as far as the cutoff. Without a `pair_style` one is
added. The potential is attached as soon as there is a box: fixes act in the order of their definition, and a
barostat's asks for the virial when it begins; dumps ask for what the potential stores per atom.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

NAME = "mlip"
RUNS = (
    "run",
    "minimize",
    "rerun",
    "temper",
    "neb",
    "neb/spin",
    "tad",
    "prd",
    "hyper",
    "dynamical_matrix",
    "third_order",
)
BOXES = ("create_box", "read_data", "read_restart")
ATTACHED = "mlip_attached"  # label where the potential is attached
MOST_INCLUDES = 20


class Script(NamedTuple):
    """What LAMMPS reads before and after the potential is attached, and what the input says of it."""

    before: str
    after: str  # begins with a jump over what was read before, so that labels there can still be jumped to
    elements: tuple[str, ...]  # by atom type; none if the input does not say


def prepared(path: Path, cutoff: float) -> Script:
    """The input in a file, for a potential with this cutoff (Å).

    Raises:
        ValueError: the file cannot be read, has no run, or says of the potential what cannot be; the message has the
            line.
    """
    lines = _lines(path, [])
    elements: tuple[str, ...] = ()
    styled = ran = False
    result: list[str] = []
    attached = -1
    for place, line in lines:
        words = line.split("#", 1)[0].split()
        command = words[0] if words else ""
        if _leads_to(words, BOXES) and attached < 0:
            attached = len(result) + 1
        if command == "clear" and attached >= 0:
            raise ValueError(f"{place}: clear removes the potential. Put what follows it into an input of its own")
        if command == "pair_style":
            line, styled = _pair_style(place, words, cutoff), True
        elif command == "pair_coeff":
            line, named = _pair_coeff(place, words)
            if named and elements and named != elements:
                raise ValueError(
                    f"{place}: elements are {' '.join(named)}, before {' '.join(elements)}; give them once"
                )
            elements = named or elements
        runs = _leads_to(words, RUNS)
        if runs and attached < 0:
            raise ValueError(f"{place}: {command} without a box; expected one of {', '.join(BOXES)} before it")
        ran |= runs
        result.append(line)
    if not ran:
        raise ValueError(f"{path}: no run in it; expected a LAMMPS input with one of: {', '.join(RUNS[:3])}")
    before, after = result[:attached], result[attached:]
    if not styled:
        before += [f"pair_style zero {cutoff!r}", "pair_coeff * *"]
    jump = [f"jump SELF {ATTACHED}", *before, f"label {ATTACHED}", *after]
    return Script("\n".join(before) + "\n", "\n".join(jump) + "\n", elements)


def _lines(path: Path, outer: Sequence[Path]) -> list[tuple[str, str]]:
    """Where each command stands, and the command on one line; included files in their place."""
    if path in outer or len(outer) > MOST_INCLUDES:
        raise ValueError(f"{path}: includes itself")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a LAMMPS input ({error})") from error
    found: list[tuple[str, str]] = []
    parts: list[str] = []
    quoted = False
    for number, line in enumerate(text.splitlines(), 1):
        quoted ^= line.count('"""') % 2 == 1
        if not quoted and line.rstrip().endswith("&"):
            parts.append(line.rstrip()[:-1])
            continue
        parts.append(line)
        if quoted:
            continue
        whole, first = ("\n" if '"""' in parts[0] else " ").join(parts), number - len(parts) + 1
        parts = []
        words = whole.split("#", 1)[0].split()
        if len(words) == 2 and words[0] == "include" and "$" not in words[1]:
            # Commands in included files count like those around them. LAMMPS looks for them where it was started.
            found += _lines(Path(words[1]), [*outer, path])
        else:
            found.append((f"{path}, line {first}", whole))
    if parts:
        raise ValueError(f'{path}: ends within a command that is continued by & or """')
    return found


def _leads_to(words: Sequence[str], commands: Sequence[str]) -> bool:
    """Whether a line is one of the commands, or an `if` that may lead to one."""
    if words[:1] == ["if"]:
        return any(word.strip("\"'") in commands for word in words[1:])
    return words[:1] != [] and words[0] in commands


def _pair_style(place: str, words: Sequence[str], cutoff: float) -> str:
    """The command with what LAMMPS knows in place of the potential's name."""
    styles = list(words[1:])
    if NAME not in styles:
        hint = f"pair_style {NAME}" if "hdnnp" in styles else f"pair_style hybrid/overlay {NAME} {' '.join(styles)}"
        raise ValueError(
            f"{place}: pair_style {' '.join(styles)} has no part for the potential. Write: {hint}; or nothing, where "
            "the potential is all there is"
        )
    if styles.count(NAME) > 1:
        raise ValueError(f"{place}: {NAME} stands twice; one potential can be attached")
    at = styles.index(NAME)
    if at + 1 < len(styles) and _is_number(styles[at + 1]):
        raise ValueError(f"{place}: {NAME} takes no numbers (found {styles[at + 1]}); the potential has its cutoff")
    if at > 0 and styles[0] != "hybrid/overlay":
        raise ValueError(f"{place}: {NAME} acts on all atoms; with other styles use hybrid/overlay, not {styles[0]}")
    return " ".join(["pair_style", *styles[:at], "zero", repr(cutoff), *styles[at + 1 :]])


def _pair_coeff(place: str, words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The command as LAMMPS knows it, and the elements that it names."""
    rest = list(words[1:])
    names = [word for word in rest[2:] if word != NAME]
    ours = NAME in rest[2:3] or (bool(names) and all(name.isalpha() and name[0].isupper() for name in names))
    if not ours:
        return " ".join(words), ()
    if rest[:2] != ["*", "*"]:
        raise ValueError(f"{place}: pair_coeff {' '.join(rest)}; expected: pair_coeff * * and an element for each type")
    return " ".join(["pair_coeff * *", *(["zero"] if NAME in rest[2:3] else [])]), tuple(names)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
