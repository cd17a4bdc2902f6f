"""The structures with the largest errors, ready to be looked at: small pictures, and data for a viewer."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from jaxtyping import Float, Int

from mlip.elements import symbol
from mlip.evaluation import worst_structures
from mlip.report.findings import Part
from mlip.structure import Structure

MOST_ATOMS = 400  # of a larger structure, those nearest to the worst atom are shown
BOND = 1.2  # times the sum of covalent radii
BONDED = 5.0  # more bonds of an atom on average, and it is a packing of balls rather than a molecule
NONMETALS = (1, 2, *range(5, 11), *range(14, 19), *range(32, 37), *range(52, 55))
LINKED, PACKED = 0.42, 0.65  # times the covalent radius, of a ball with bonds and without
SIDE = 100  # of a small picture


def worst_shown(part: Part, count: int) -> list[dict[str, Any]]:
    """The worst structures: their errors, a small picture, and what a viewer needs; lengths in Å, forces in eV/Å."""
    place = {structure.origin: number for number, structure in enumerate(part.structures)}
    rows = worst_structures(part.structures, part.predictions, count)
    for row in rows:
        number = place[row["structure"]]
        structure, predicted = part.structures[number], part.predictions[number]
        errors = None
        if structure.forces is not None and predicted.forces is not None:
            errors = predicted.forces.double().numpy() - structure.forces
        chosen = _chosen(structure, row.get("atom", 0))
        positions = structure.positions[chosen] - structure.positions[chosen].mean(axis=0)
        numbers = structure.numbers[chosen]
        links = bonds(numbers, positions)
        packed = not links or 2 * len(links) > BONDED * len(numbers)
        row["formula"] = formula(structure.numbers)
        row["picture"] = picture(numbers, positions, [] if packed else links)
        row["view"] = {
            "symbols": [symbol(int(z)) for z in numbers],
            "positions": positions.round(3).tolist(),
            "errors": None if errors is None else errors[chosen].round(4).tolist(),
            "bonds": [] if packed else links,
            "radii": ((PACKED if packed else LINKED) * covalent_radii[numbers]).round(3).tolist(),
            "cell": _edges(structure, chosen),
            "left_out": len(structure) - len(chosen),
        }
    return rows


def formula(numbers: Int[np.ndarray, "n"]) -> str:
    """Elements and how many of each, in the order of atomic numbers, as C2H6O with C and H first where there is C."""
    kinds, counts = np.unique(numbers, return_counts=True)
    names = {symbol(int(z)): int(n) for z, n in zip(kinds, counts, strict=True)}
    first = [name for name in ("C", "H") if name in names and "C" in names]
    order = first + sorted(name for name in names if name not in first)
    return "".join(f"{name}{names[name] if names[name] > 1 else ''}" for name in order)


def bonds(numbers: Int[np.ndarray, "n"], positions: Float[np.ndarray, "n 3"]) -> list[list[int]]:
    """Pairs of atoms, not both metals, as near as covalent radii say, each once; not through the periodic boundary."""
    radii, nonmetal = covalent_radii[numbers], np.isin(numbers, NONMETALS)
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    near = (apart < BOND * (radii[:, None] + radii[None])) & (nonmetal[:, None] | nonmetal[None])
    return np.argwhere(np.triu(near, 1)).tolist()


def color(number: int) -> str:
    """That of an element, as in other programs."""
    return "#" + "".join(f"{round(255 * float(share)):02x}" for share in jmol_colors[number])


def picture(numbers: Int[np.ndarray, "n"], positions: Float[np.ndarray, "n 3"], links: list[list[int]]) -> str:
    """The atoms seen along the direction in which they reach least, as a small SVG element."""
    _, _, directions = np.linalg.svd(positions, full_matrices=True)
    turned = positions @ directions.T
    radii = (LINKED if links else PACKED) * covalent_radii[numbers]
    reach = float((np.abs(turned[:, :2]) + radii[:, None]).max()) * 1.08
    scale = SIDE / (2 * reach)
    x, y, depth = SIDE / 2 + scale * turned[:, 0], SIDE / 2 - scale * turned[:, 1], turned[:, 2]
    shapes = [
        ((depth[a] + depth[b]) / 2, f'<path d="M{x[a]:.1f} {y[a]:.1f}L{x[b]:.1f} {y[b]:.1f}"/>') for a, b in links
    ]
    shapes += [
        (depth[n], f'<circle cx="{x[n]:.1f}" cy="{y[n]:.1f}" r="{scale * radii[n]:.1f}" fill="{color(int(z))}"/>')
        for n, z in enumerate(numbers)
    ]
    inside = "".join(text for _, text in sorted(shapes, key=lambda shape: shape[0]))
    return f'<svg viewBox="0 0 {SIDE} {SIDE}" aria-hidden="true" class="atoms">{inside}</svg>'


def _chosen(structure: Structure, worst: int) -> Int[np.ndarray, "m"]:
    """All atoms, or those nearest to the worst one."""
    if len(structure) <= MOST_ATOMS:
        return np.arange(len(structure))
    distances = np.linalg.norm(structure.positions - structure.positions[worst], axis=1)
    return np.sort(np.argsort(distances)[:MOST_ATOMS])


def _edges(structure: Structure, chosen: Int[np.ndarray, "m"]) -> list[list[list[float]]]:
    """Edges of the periodic cell as pairs of ends, in the frame of the atoms shown; none where atoms are left out."""
    if not structure.pbc.any() or len(chosen) < len(structure):
        return []
    origin = -structure.positions.mean(axis=0)
    vectors = structure.cell * structure.pbc[:, None]
    corners = {(i, j, k): origin + np.array([i, j, k]) @ vectors for i in (0, 1) for j in (0, 1) for k in (0, 1)}
    edges = []
    for corner, start in corners.items():
        for direction in range(3):
            if corner[direction] == 0 and structure.pbc[direction]:
                end = list(corner)
                end[direction] = 1
                edges.append([start.round(3).tolist(), corners[end[0], end[1], end[2]].round(3).tolist()])
    return edges
