"""Pair potentials as tables for LAMMPS's own pair_style table, which needs no mlip where it runs."""

from __future__ import annotations

from pathlib import Path

import torch
from ase.data import atomic_masses

from mlip.elements import symbol
from mlip.model.atomic import NoModel
from mlip.model.potential import Potential
from mlip.pair.potential import kind_table, pair_name, pairs_of

TABLE, SCRIPT = "pairs.table", "lammps.in"
POINTS, NEAREST = 10_000, 0.2  # of a table, and the distance (Å) of its first point
STYLE_POINTS = 20_000  # LAMMPS makes its own points of those, evenly spaced in r, by splines


def write_tables(potential: Potential, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the curves of a potential of model.kind pair as tables, and an input for LAMMPS that reads them.

    A table has the curve as it is, with its switch and what goes on inside the core, in metal units (eV, Å). Native
    styles such as morse or lj/cut end at the cutoff with a jump, so they are another function. Reference energies
    are not in it: LAMMPS's energies are less their sum.

    Returns:
        the files written: `pairs.table`, `lammps.in`.

    Raises:
        ValueError: something else than functions of pairs makes energies, or a file is there already.
    """
    if not isinstance(potential.atomic, NoModel):
        raise ValueError(
            "a table has functions of pairs only, and this potential has more (its model.kind is not pair). Use mlip "
            "lammps, or export networks in the format n2p2"
        )
    files = [folder / TABLE, folder / SCRIPT]
    there = [path for path in files if path.exists()]
    if there and not overwrite:
        raise ValueError(f"{there[0]} is there already. Choose another folder, or say --overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    files[0].write_text("\n".join(_sections(potential)), encoding="utf-8")
    files[1].write_text(_script(potential), encoding="utf-8")
    return files


def _sections(potential: Potential) -> list[str]:
    """A section of the table for each pair of elements: number, r (Å), energy (eV), force (eV/Å)."""
    end = max(term.cutoff for term in potential.pair_terms)
    r = torch.linspace(NEAREST, end, POINTS, dtype=torch.float64)
    lines = ["# Pair potentials written by mlip. UNITS: metal"]
    for pair in pairs_of(potential.elements):
        energies, slopes = _curve(potential, pair, r)
        lines += ["", pair_name(pair), f"N {POINTS} R {NEAREST:.16g} {end:.16g}", ""]
        lines += [
            f"{n} {x:.16g} {energy:.16g} {-slope:.16g}"
            for n, (x, energy, slope) in enumerate(
                zip(r.tolist(), energies.tolist(), slopes.tolist(), strict=True), start=1
            )
        ]
    return [*lines, ""]


def _curve(potential: Potential, pair: tuple[int, int], r: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Energy and slope of two atoms at these distances: of as many dimers far from each other, along x."""
    numbers = torch.tensor(pair).repeat(len(r))
    first = torch.arange(0, 2 * len(r), 2)
    pairs = torch.stack([torch.cat([first, first + 1]), torch.cat([first + 1, first])])
    vectors = torch.zeros(2 * len(r), 3, dtype=torch.float64)
    vectors[: len(r), 0], vectors[len(r) :, 0] = r, -r
    energies, slopes = torch.zeros_like(r), torch.zeros_like(r)
    for term in potential.pair_terms:
        by_atom, gradient = term.cpu()(numbers, pairs, vectors)
        energies += by_atom.view(-1, 2).sum(dim=1)
        slopes += 2 * gradient[: len(r), 0]
    return energies, slopes


def _script(potential: Potential) -> str:
    """The lines of an input that concern the potential."""
    elements, end = potential.elements, max(term.cutoff for term in potential.pair_terms)
    kinds = kind_table(len(elements))
    lines = [
        "# To be included after a box with these types is there; mlip wrote it.",
        f"# types: {', '.join(f'{n} {symbol(z)}' for n, z in enumerate(elements, start=1))}; units metal",
        *(f"mass {n} {atomic_masses[z]:.6g}" for n, z in enumerate(elements, start=1)),
        f"pair_style table linear {STYLE_POINTS}",
    ]
    names = [pair_name(pair) for pair in pairs_of(elements)]
    for a in range(len(elements)):
        for b in range(a, len(elements)):
            lines.append(f"pair_coeff {a + 1} {b + 1} {TABLE} {names[int(kinds[a, b])]} {end:.16g}")
    return "\n".join(lines) + "\n"
