"""n2p2's energy of a structure, slowly and in plain numpy: written from its documentation, sharing nothing with mlip.

Only files as `n2p2_folders` writes them are understood: no comments, every keyword at most as often as n2p2 allows.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations, product
from pathlib import Path

import numpy as np

SYMBOLS = {"H": 1, "C": 6, "N": 7, "O": 8}
ACTIVATIONS = {
    "l": lambda x: x,
    "t": np.tanh,
    "s": lambda x: 1 / (1 + np.exp(-x)),
    "p": lambda x: np.log(1 + np.exp(x)),
    "r": lambda x: max(x, 0.0),
    "g": lambda x: np.exp(-(x**2) / 2),
    "c": np.cos,
    "S": lambda x: 1 - 1 / (1 + np.exp(-x)),
    "e": lambda x: np.exp(-x),
    "h": lambda x: x**2,
}
STEPS = {  # of x from 0 to 1
    1: lambda x: (np.cos(np.pi * x) + 1) / 2,
    4: lambda x: np.exp(1 - 1 / (1 - x**2)),
    5: lambda x: (2 * x - 3) * x**2 + 1,
    6: lambda x: ((15 - 6 * x) * x - 10) * x**3 + 1,
    7: lambda x: (x * (x * (20 * x - 70) + 84) - 35) * x**4 + 1,
    8: lambda x: (x * (x * ((315 - 70 * x) * x - 540) + 420) - 126) * x**5 + 1,
}


def energy(
    folder: Path, symbols: list[str], positions: np.ndarray, cell: np.ndarray | None = None, reach: float = 3.7
) -> float:
    """Total energy in the units of the folder, for positions and cell (rows) in its unit of length."""
    settings = read(folder)
    mean, per_energy, per_length = (
        float(settings[key][0][0]) if key in settings else default
        for key, default in (("mean_energy", 0.0), ("conv_energy", 1.0), ("conv_length", 1.0))
    )
    elements = sorted(settings["elements"][0], key=SYMBOLS.__getitem__)
    offsets = {words[0]: float(words[1]) for words in settings.get("atom_energy", [])}
    functions = {center: sorted_functions(settings, center, per_length) for center in elements}
    rows = [line.split() for line in (folder / "scaling.data").read_text().splitlines() if line[0] != "#"]
    first = dict(zip(elements, np.cumsum([0, *(len(functions[e]) for e in elements)]), strict=False))
    total = 0.0
    for center, symbol in enumerate(symbols):
        around = neighbors(
            symbols, per_length * positions, None if cell is None else per_length * cell, center, reach * per_length
        )
        mine = functions[symbol]
        values = [value(words, around, settings, per_length) for words in mine]
        scaled = [scale(settings, rows[first[symbol] + k], G) for k, G in enumerate(values)]
        total += network(folder, settings, symbol, scaled)
    return total / per_energy + len(symbols) * mean + sum(offsets.get(symbol, 0.0) for symbol in symbols)


def read(folder: Path) -> dict[str, list[list[str]]]:
    """Words behind each keyword."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    for line in (folder / "input.nn").read_text().splitlines():
        if line:
            key, *words = line.split()
            found[key].append(words)
    return dict(found)


def sorted_functions(settings, center, per_length):
    """The functions of a center in n2p2's order."""

    def key(words):
        kind, rest = int(words[1]), words[2:]
        count = {2: 1, 3: 2, 9: 2, 20: 1, 21: 2, 22: 2}.get(kind, 0)
        names = sorted(SYMBOLS[name] for name in rest[:count])
        numbers = rest[count:]
        if kind >= 20:
            rl, rc, *angles = map(float, numbers[:-1])
            return (kind, numbers[-1], names, rc * per_length, rl * per_length, angles)
        numbers = [float(number) for number in numbers]
        if kind in (2, 12):
            eta, rs, rc = numbers
            return (kind, rc, eta, rs, names)
        eta, la, zeta, rc, rs = [*numbers, 0.0][:5] if kind != 13 else (numbers[i] for i in (0, 2, 3, 4, 1))
        return (kind, rc, eta, rs, zeta, la, names)

    return sorted((words for words in settings["symfunction_short"] if words[0] == center), key=key)


def neighbors(symbols, positions, cell, center, reach):
    """Symbol and vector of every atom within reach of a center (beyond all cutoffs), its own images included."""
    shifts = [np.zeros(3)]
    if cell is not None:
        heights = abs(np.linalg.det(cell)) / np.linalg.norm(np.cross(np.roll(cell, 1, 0), np.roll(cell, 2, 0)), axis=1)
        spans = [range(-int(reach / h) - 1, int(reach / h) + 2) for h in heights]
        shifts = [np.array(n) @ cell for n in product(*spans)]
    found = []
    for symbol, position in zip(symbols, positions, strict=True):
        for shift in shifts:
            vector = position + shift - positions[center]
            if 1e-9 < np.linalg.norm(vector) < reach:
                found.append((symbol, vector))
    return found


def cutoff(settings, r, rc):
    """The cutoff function."""
    if r >= rc:
        return 0.0
    kind, *alpha = settings["cutoff_type"][0]
    if kind == "0":
        return 1.0
    if kind == "2":
        return np.tanh(1 - r / rc) ** 3
    if kind == "3":
        e = np.exp(1.0)
        return ((e + 1 / e) / (e - 1 / e)) ** 3 * np.tanh(1 - r / rc) ** 3
    inner = rc * float(alpha[0]) if alpha else 0.0
    return 1.0 if r < inner else STEPS[int(kind)]((r - inner) / (rc - inner))


def core(shape, x):
    """The shape of a compact function, from 1 at x = 0 to 0 at x = 1."""
    if shape[0] == "e":
        return np.exp(1 - 1 / (1 - x**2))
    if shape.endswith("a"):
        x = (2 - x) * x
    return STEPS[4 + int(shape[1])](x)


def compact(shape, a, left, right):
    """A compact function on an interval."""
    x = abs(a - (left + right) / 2) / ((right - left) / 2)
    return core(shape, x) if x < 1 else 0.0


def value(words, around, settings, per_length):
    """A symmetry function."""
    kind, rest = int(words[1]), words[2:]
    names = rest[: {2: 1, 3: 2, 9: 2, 20: 1, 21: 2, 22: 2}.get(kind, 0)]
    numbers = rest[len(names) :]
    weight = (lambda *found: np.prod([SYMBOLS[name] for name in found])) if not names else (lambda *found: 1.0)
    if kind in (2, 12):
        eta, rs, rc = (float(n) * per_length**p for n, p in zip(numbers, (-2, 1, 1), strict=True))
        return sum(
            weight(e) * np.exp(-eta * (np.linalg.norm(v) - rs) ** 2) * cutoff(settings, np.linalg.norm(v), rc)
            for e, v in around
            if not names or [e] == names
        )
    if kind in (20, 23):
        left, right = (per_length * float(n) for n in numbers[:2])
        return sum(
            weight(e) * compact(numbers[2], np.linalg.norm(v), left, right)
            for e, v in around
            if not names or [e] == names
        )
    total = 0.0
    for (e1, v1), (e2, v2) in combinations(around, 2):
        if not names or sorted(names) == sorted((e1, e2)):
            total += weight(e1, e2) * of_triple(kind, numbers, v1, v2, settings, per_length)
    return total


def of_triple(kind, numbers, v1, v2, settings, per_length):
    """A term of an angular function."""
    distances = [np.linalg.norm(v) for v in (v1, v2, v2 - v1)]
    cosine = v1 @ v2 / distances[0] / distances[1]
    if kind >= 21:
        left, right = (per_length * float(n) for n in numbers[:2])
        low, high = (float(n) for n in numbers[2:4])
        shape = numbers[4]
        terms = [compact(shape, r, left, right) for r in (distances if kind in (21, 24) else distances[:2])]
        return np.prod(terms) * compact(shape[:2].rstrip("a"), np.degrees(np.arccos(np.clip(cosine, -1, 1))), low, high)
    values = [float(number) for number in numbers]
    eta, la, zeta, rc, rs = [*values, 0.0][:5] if kind != 13 else (values[i] for i in (0, 2, 3, 4, 1))
    eta, rc, rs = eta / per_length**2, rc * per_length, rs * per_length
    used = distances if kind in (3, 13) else distances[:2]
    gauss = np.exp(-eta * sum((r - rs) ** 2 for r in used))
    return 2 ** (1 - zeta) * (1 + la * cosine) ** zeta * gauss * np.prod([cutoff(settings, r, rc) for r in used])


def scale(settings, row, G):
    """The network's input."""
    low, high, mean, sigma = (float(word) for word in row[2:6])
    start = float(settings.get("scale_min_short", [["0"]])[0][0])
    end = float(settings.get("scale_max_short", [["1"]])[0][0])
    scaled, centered = "scale_symmetry_functions" in settings, "center_symmetry_functions" in settings
    if scaled and centered:
        return start + (end - start) * (G - mean) / (high - low)
    if scaled:
        return start + (end - start) * (G - low) / (high - low)
    if centered:
        return G - mean
    if "scale_symmetry_functions_sigma" in settings:
        return start + (end - start) * (G - mean) / sigma
    return G


def network(folder, settings, symbol, inputs):
    """Output of an element's network; layer by layer, node by node."""

    def given(name, default):
        lines = [words[1:] for words in settings.get(f"element_{name}_short", []) if words[0] == symbol]
        return lines[0] if lines else settings.get(f"global_{name}_short", [default])[0]

    widths = [int(word) for word in given("nodes", [])]
    letters = given("activation", [])
    lines = (folder / f"weights.{SYMBOLS[symbol]:03d}.data").read_text().splitlines()
    numbers = iter([float(line.split()[0]) for line in lines if line[0] != "#"])
    values = list(inputs)
    for width, letter in zip([*widths, 1], letters, strict=True):
        weights = [[next(numbers) for _ in range(width)] for _ in values]
        biases = [next(numbers) for _ in range(width)]
        sums = [sum(weights[j][k] * values[j] for j in range(len(values))) + biases[k] for k in range(width)]
        if "normalize_nodes" in settings:
            sums = [x / len(values) for x in sums]
        values = [ACTIVATIONS[letter](x) for x in sums]
    assert next(numbers, None) is None
    return values[0]
