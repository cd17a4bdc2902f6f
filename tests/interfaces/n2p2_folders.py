"""Random potentials in the format, of as many settings as it has; any seed makes one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from interfaces import n2p2_oracle

SHAPES = ("p1", "p2", "p3", "p4", "p1a", "p2a", "p3a", "p4a", "e")
LETTERS = "ltspgcSeh"
SCALINGS = (
    [],
    ["scale_symmetry_functions"],
    ["center_symmetry_functions"],
    ["scale_symmetry_functions", "center_symmetry_functions"],
    ["scale_symmetry_functions_sigma"],
)


def write(folder: Path, seed: int) -> list[str]:
    """Make the files in a folder; returns the elements."""
    rng = np.random.default_rng(seed)
    elements = [str(name) for name in rng.permutation(["H", "C", "N", "O"])[: rng.integers(1, 4)]]
    kind = seed % 9
    alpha = rng.choice(["", " 0.0", " 0.35"])
    # One shape for all compact functions: n2p2 mixes those of narrow ones (tests/descriptors/test_compact.py).
    shape = str(rng.choice(SHAPES))
    lines = [
        f"number_of_elements {len(elements)}",
        f"elements {' '.join(elements)}",
        f"cutoff_type {kind}{alpha}",
        *SCALINGS[seed % 5],
        *([f"scale_min_short {rng.uniform(-1, 0)!r}", f"scale_max_short {rng.uniform(1, 2)!r}"] if seed % 2 else []),
        *(["normalize_nodes"] if seed % 3 == 0 else []),
        *(f"atom_energy {name} {rng.normal(0, 50)!r}" for name in elements if rng.random() < 0.5),
    ]
    if seed % 4 == 1:
        lines += ["mean_energy -21.5", "conv_energy 3.25", "conv_length 1.75"]
    depth = int(rng.integers(1, 4))
    lines.append(f"global_hidden_layers_short {depth}")
    lines.append("global_nodes_short " + " ".join(str(rng.integers(2, 6)) for _ in range(depth)))
    lines.append("global_activation_short " + " ".join(rng.choice(list(LETTERS), depth)) + rng.choice([" l", " t"]))
    if seed % 2 == 0:
        lines.append(f"element_nodes_short {elements[0]} " + " ".join(str(rng.integers(7, 9)) for _ in range(depth)))
        output = lines[-2].split()[-1]
        lines.append(f"element_activation_short {elements[-1]} {' '.join(rng.choice(list(LETTERS), depth))} {output}")
    functions = [line for center in elements for line in _functions(rng, center, elements, shape)]
    lines += list(rng.permutation(functions))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.nn").write_text("\n".join(map(str, lines)) + "\n", encoding="utf-8")
    _write_numbers(folder, rng, elements)
    return elements


def _functions(rng, center, elements, shape):
    def some(count):
        return " ".join(map(str, rng.choice(elements, count)))

    def numbers(*ranges):
        return " ".join(repr(float(np.round(rng.uniform(*ends), 3))) for ends in ranges)

    eta, rs, rc, zeta = (0.02, 0.9), (0.0, 1.5), (2.6, 3.6), (1.0, 5.0)
    lambda_ = str(rng.choice(["1", "-1", "1.0"]))
    angles = str(rng.choice(["20 140", "-100 100", "60 300", "0.0 180.0"]))
    inner = str(rng.choice(["0.4", "-2.5", "0.0"]))
    lines = [
        f"2 {some(1)} {numbers(eta, rs, rc)}",
        f"2 {some(1)} {numbers(eta)} 0.0 3.0",
        f"2 {some(1)} {numbers(eta)} 0.0 3.0",
        f"3 {some(2)} {numbers(eta)} {lambda_} {numbers(zeta, rc)}",
        f"3 {some(2)} {numbers(eta)} {lambda_} 2 3.0 {numbers(rs)}",
        f"9 {some(2)} {numbers(eta)} {lambda_} {numbers(zeta, rc, rs)}",
        f"9 {some(2)} 0.05 {lambda_} 4.0 3.0",
        f"12 {numbers(eta, rs, rc)}",
        f"13 {numbers(eta, rs)} {lambda_} {numbers(zeta, rc)}",
        f"20 {some(1)} {inner} {numbers(rc)} {rng.choice(SHAPES)}",
        f"21 {some(2)} {inner} {numbers(rc)} {angles} {shape}",
        f"22 {some(2)} {inner} {numbers(rc)} {angles} {rng.choice(SHAPES)}",
        f"23 {inner} {numbers(rc)} {rng.choice(SHAPES)}",
        f"24 {inner} {numbers(rc)} {angles} {shape}",
        f"25 {inner} {numbers(rc)} {angles} {rng.choice(SHAPES)}",
    ]
    chosen = rng.permutation(len(lines))[: rng.integers(4, 9)]
    return [f"symfunction_short {center} {lines[n]}" for n in chosen]


def _write_numbers(folder, rng, elements):
    """scaling.data and weights for the input.nn that is there."""
    settings = n2p2_oracle.read(folder)
    ascending = sorted(elements, key=n2p2_oracle.SYMBOLS.__getitem__)
    rows = ["# a comment"]
    for index, center in enumerate(ascending, 1):
        functions = n2p2_oracle.sorted_functions(settings, center, 1.0)
        count = len(functions)
        for place in range(1, count + 1):
            low, mean, high = np.sort(rng.uniform(0, 2, 3))
            values = " ".join(repr(float(v)) for v in (low, high, mean, rng.uniform(0.2, 1.0)))
            rows.append(f" {index} {place} {values}")
        own = [words[1:] for words in settings.get("element_nodes_short", []) if words[0] == center]
        widths = [count, *map(int, own[0] if own else settings["global_nodes_short"][0]), 1]
        values = [rng.normal(0, 0.7 / np.sqrt(a), (a + 1, b)) for a, b in pairwise(widths)]
        for row, words in enumerate(functions):  # weighted functions are large
            values[0][row] *= 0.005 if int(words[1]) in (12, 13, 23, 24, 25) else 0.5
        weights = "\n".join(repr(float(w)) for layer in values for w in layer.ravel())
        (folder / f"weights.{n2p2_oracle.SYMBOLS[center]:03d}.data").write_text(weights + "\n", encoding="utf-8")
    (folder / "scaling.data").write_text("\n".join(rows) + "\n", encoding="utf-8")


def structure(elements: list[str], seed: int) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """Symbols, positions and a triclinic cell or none, in lengths that suit the functions."""
    rng = np.random.default_rng(1000 + seed)
    symbols = [str(name) for name in rng.choice(elements, 5)]
    cell = np.array([[4.1, 0.2, 0.0], [0.5, 4.3, 0.1], [-0.3, 0.4, 4.0]]) if seed % 3 == 2 else None
    grid = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0.5)], dtype=float)
    return symbols, 1.6 * grid + rng.uniform(-0.25, 0.25, (5, 3)), cell
