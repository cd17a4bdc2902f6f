"""Which structures of a file are wanted: `data.index` as a Python index or slice."""

from __future__ import annotations


def parse_index(index: str, option: str = "data.index") -> slice:
    """The slice that `index` spells, such as "7", ":100", "-20:" or "::5".

    Raises:
        ValueError: it is not an index or a slice, or its step is not positive.
    """
    try:
        parts = [int(part) if part.strip() else None for part in index.split(":")]
        if len(parts) == 1:
            first = int(index)
            return slice(first, first + 1 or None)
        wanted = slice(*parts)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{option} is '{index}'; expected an index or a slice such as 7, :100, -20: or ::5") from error
    if wanted.step is not None and wanted.step < 1:
        raise ValueError(f"{option} is '{index}'; its step must be positive, as a file is read from front to back")
    return wanted


def selected(index: str, count: int, file: str) -> range:
    """Places in the file, ascending, of the structures that `index` picks out of `count`.

    Raises:
        ValueError: `index` is malformed or picks nothing.
    """
    chosen = range(count)[parse_index(index)]
    if not chosen:
        raise ValueError(f"{file}: data.index '{index}' selects none of the {count} structures in the file")
    return chosen
