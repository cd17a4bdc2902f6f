"""A folder of RuNNer or n2p2 as a potential."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mlip.descriptors.acsf import ACSF
from mlip.interfaces.n2p2.functions import read_functions, shared_columns
from mlip.interfaces.n2p2.scaling import Scaling, read_scaling
from mlip.interfaces.n2p2.settings import Settings
from mlip.interfaces.n2p2.topology import activations, possible_widths
from mlip.interfaces.n2p2.weights import Layer, file_name, read_weights
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential
from mlip.model.ranges import FeatureRanges
from mlip.model.scaling import FeatureScaling
from mlip.units import ENERGY, LENGTH

SETTINGS, SCALING = "input.nn", "scaling.data"
UNITS = {"eV-Ang": ("eV", "Ang"), "Ha-Bohr": ("Hartree", "Bohr")}
CHARGES = ("weightse.*.data", "hardness.*.data")  # files of networks and numbers for charges


class Units(NamedTuple):
    """What a folder's units of energy and length are in eV and Å."""

    energy: float
    length: float


def units_of(name: str) -> Units:
    """Units by the name that the command line has for them.

    Raises:
        ValueError: there is no such name.
    """
    if name not in UNITS:
        raise ValueError(f"units are '{name}'; expected {' or '.join(UNITS)}")
    energy, length = UNITS[name]
    return Units(ENERGY[energy], LENGTH[length])


def read_potential(folder: str | Path, units: str) -> Potential:
    r"""The potential in a folder with input.nn, scaling.data and weights.ZZZ.data, in float64.

    .. math:: E = \sum_i \left[\frac{f_e(x_i)}{c_E} + \bar E + \varepsilon_e\right]

    with the normalization's `conv_energy` and `mean_energy` and the `atom_energy` of each element. What n2p2 calls
    `conv_length` changes no symmetry function: it changes all lengths in it alike.

    `units` are those of the folder, "eV-Ang" or "Ha-Bohr": its files do not say them.

    Raises:
        ValueError: a file is missing or damaged, or it needs something that a potential here does not have; the message
            names file, line and cure.
    """
    folder, unit = Path(folder), units_of(units)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; expected one with {SETTINGS}, {SCALING} and weights.ZZZ.data")
    settings = Settings(folder / SETTINGS)
    elements = settings.elements()
    if "nnp_type" not in settings:
        _require_no_charges(folder)
    functions = read_functions(settings, elements, unit.length)
    tables = read_scaling(folder / SCALING, settings, elements, [functions[number] for number in elements])
    columns, column_of = shared_columns(functions)
    layers = [
        _network(folder, settings, number, elements, len(functions[number]), table)
        for number, table in zip(elements, tables, strict=True)
    ]
    mean, per_energy, _ = settings.normalization()
    potential = Potential(
        ACSF(elements, columns),
        FeatureScaling(len(elements), len(columns)),
        AtomicNetworks(
            len(columns),
            [[len(layer.bias) for layer in mine[:-1]] for mine in layers],
            [activations(settings, number, elements) for number in elements],
        ).double(),
        [unit.energy * (mean + energy) for energy in settings.atom_energies(elements)],
        energy_scale=unit.energy / per_energy,
    )
    lowest, highest = (table.clone() for table in potential.ranges.buffers())  # still unknown
    for row, (number, table) in enumerate(zip(elements, tables, strict=True)):
        places = torch.tensor(column_of[number])
        potential.scaling.shift[row, places] = torch.from_numpy(table.shift)
        potential.scaling.scale[row, places] = torch.from_numpy(table.scale)
        lowest[row, places], highest[row, places] = torch.from_numpy(table.lowest), torch.from_numpy(table.highest)
        _put(potential.networks, row, layers[row], places)
    potential.ranges = FeatureRanges(lowest, highest)
    return potential.requires_grad_(False).eval()


def provenance(folder: str | Path, units: str) -> dict[str, Any]:
    """Where an imported potential comes from; stands in its file."""
    paths = [Path(folder) / SETTINGS, Path(folder) / SCALING, *sorted(Path(folder).glob("weights.*.data"))]
    return {
        "mlip": version("mlip"),
        "imported": {
            "format": "n2p2",
            "folder": str(Path(folder).resolve()),
            "units": units,
            "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths},
        },
    }


def _network(
    folder: Path, settings: Settings, number: int, elements: tuple[int, ...], inputs: int, table: Scaling
) -> list[Layer]:
    """An element's layers for inputs (G - c) / s, without the start of the scaling and the division by the nodes."""
    possible = possible_widths(settings, number, elements)
    layers = read_weights(folder / file_name(number), inputs, possible)
    if "normalize_nodes" in settings:
        layers = [Layer(*(part / layer.weight.shape[1] for part in layer)) for layer in layers]
    weight, bias = layers[0]
    return [Layer(weight, bias + table.start * weight.sum(axis=1)), *layers[1:]]


@torch.no_grad()
def _put(networks: AtomicNetworks, row: int, layers: Sequence[Layer], places: torch.Tensor) -> None:
    """Give an element's network these layers; functions that are not in `places` get no weight."""
    for depth, (mine, given) in enumerate(zip(networks.linear(row), layers, strict=True)):
        mine.bias.copy_(torch.from_numpy(given.bias))
        if depth == 0:
            mine.weight.zero_()
            mine.weight[:, places] = torch.from_numpy(np.ascontiguousarray(given.weight))
        else:
            mine.weight.copy_(torch.from_numpy(np.ascontiguousarray(given.weight)))


def _require_no_charges(folder: Path) -> None:
    """See that no files of charge networks lie there, unless nnp_type says that they are not used."""
    found = sorted(path.name for pattern in CHARGES for path in folder.glob(pattern))
    if found:
        raise ValueError(
            f"{folder}: has {', '.join(found)}, files of a potential with charges (3G, 4G). Such a potential cannot be "
            f"imported. If its energy does not need them, write nnp_type 2 into {SETTINGS}"
        )
