"""A potential as a folder of RuNNer or n2p2, with an input for LAMMPS."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlip.descriptors.acsf import applies
from mlip.elements import symbol
from mlip.interfaces.n2p2.compact import as_n2p2_computes
from mlip.interfaces.n2p2.functions import ORDER_OF_CUTOFFS, Found, cutoff_of, line_of, type_of
from mlip.interfaces.n2p2.lammps_input import lammps_input
from mlip.interfaces.n2p2.padding import NamedLayer, alike, scaled, with_linear_output
from mlip.interfaces.n2p2.reading import SCALING, SETTINGS, Units, units_of
from mlip.interfaces.n2p2.scaling import Scaling, scaling_text
from mlip.interfaces.n2p2.topology import LETTERS
from mlip.interfaces.n2p2.weights import Layer, file_name, weights_text
from mlip.model.potential import Potential

LETTER_OF = {name: letter for letter, name in LETTERS.items()}
LAMMPS = "in.lammps"


def write_potential(potential: Potential, folder: str | Path, units: str, *, overwrite: bool = False) -> list[Path]:
    r"""Write a potential as input.nn, scaling.data and weights.ZZZ.data, and an in.lammps for pair_style hdnnp.

    The scaling is `scale_symmetry_functions_sigma`, :math:`(G - \bar G) / \sigma`, which is that of our potentials; the
    energy scale goes into the weights of the output, reference energies into `atom_energy`, and functions that are
    always zero around an element into the biases of its network. Networks are brought to one shape by nodes and layers
    that change nothing, since n2p2 reads no other reliably. `units` are those of the files, "eV-Ang" or "Ha-Bohr".

    Raises:
        ValueError: the format cannot express the potential, or a file is there already and `overwrite` is not said.
    """
    folder, unit = Path(folder), units_of(units)
    texts = potential_texts(potential, unit)
    texts[LAMMPS] = lammps_input(potential, units)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; expected the name of a folder to write")
    weights = [path.name for path in folder.glob("weights.*.data")]
    there = sorted(name for name in {*texts, *weights} if (folder / name).exists())
    if there and not overwrite:
        raise ValueError(f"{folder}: has {', '.join(there)} already. Choose another folder, or say --overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    for name in set(weights) - set(texts):  # of an element that this potential does not have
        (folder / name).unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def potential_texts(potential: Potential, unit: Units) -> dict[str, str]:
    """The format's files by their names.

    Raises:
        ValueError: the format cannot express the potential.
    """
    functions = {number: _around(potential, number) for number in potential.elements}
    _require_expressible(potential)
    networks = alike([_layers(potential, row, unit) for row in range(len(potential.elements))])
    shift, scale = (table.double().cpu().numpy() for table in (potential.scaling.shift, potential.scaling.scale))
    lowest, highest = (table.cpu().numpy() for table in (potential.ranges.lowest, potential.ranges.highest))
    tables, files = [], {}
    for row, (number, found) in enumerate(functions.items()):
        columns = [column for column, _ in found]
        first = networks[row][0]
        absent = np.setdiff1d(np.arange(shift.shape[1]), columns)
        constant = first.weight[:, absent] @ (-shift[row, absent] / scale[row, absent])
        layers = [
            Layer(first.weight[:, columns], first.bias + constant),
            *(Layer(n.weight, n.bias) for n in networks[row][1:]),
        ]
        values = [table[row, columns] for table in (shift, scale, lowest, highest)]
        tables.append(Scaling(values[0], values[1], 0.0, values[2], values[3]))
        files[file_name(number)] = weights_text(layers)
    settings = _settings_text(potential, functions, networks, unit)
    return {SETTINGS: settings, SCALING: scaling_text(tables), **files}


def _require_expressible(potential: Potential) -> None:
    """See that the format has all parts of a potential but perhaps its functions."""
    if potential.members > 1:
        raise ValueError(
            f"the potential is a committee of {potential.members} members; the format holds one. Export one of them "
            f"with --member N, N from 0 to {potential.members - 1}"
        )
    if potential.baseline is not None:
        raise ValueError(
            f"the potential has a baseline ({potential.baseline.form.name}), which the format does not know. Train "
            "with model.baseline=null"
        )
    if potential.repulsion is not None:
        raise ValueError(
            f"the potential has a repulsion ({potential.repulsion.name}), which the format does not know. Train with "
            "model.repulsion=null, or add pair_style zbl in LAMMPS to an export of such a potential"
        )
    for number, names in zip(potential.elements, potential.networks.activation, strict=True):
        for name in names:
            if name not in LETTER_OF:
                raise ValueError(
                    f"the network of {symbol(number)} has the activation {name}, which the format does not know. "
                    f"Train with one of {', '.join(LETTER_OF)}"
                )


def _around(potential: Potential, number: int) -> list[tuple[int, Found]]:
    """Columns and functions around an element, in n2p2's order."""
    found = []
    for column, function in enumerate(potential.descriptor.functions):
        kind = type_of(function, potential.elements)
        if applies(function, number):
            found.append((column, Found(replace(function, center=number), kind, "")))
    if not found:
        raise ValueError(
            f"the potential has no functions around {symbol(number)}; the format needs at least one. Train with some"
        )
    found.sort(key=lambda one: one[1].key)
    computed = as_n2p2_computes([one.function for _, one in found])
    for (_, one), there in zip(found, computed, strict=True):
        if there != one.function:
            raise ValueError(
                f"{one.function}: among the functions around {symbol(number)}, n2p2 would compute it as {there}, so "
                "the potential cannot be exported. Train with one shape for all functions that have the same edges"
            )
        if one.type in (3, 9) and one.function.values[-1] < 0:
            raise ValueError(
                f"{one.function}: n2p2 passes over a negative r_s of such a function, so the potential cannot be "
                "exported. Train with an r_s that is not negative"
            )
    return found


def _layers(potential: Potential, row: int, unit: Units) -> list[NamedLayer]:
    """An element's layers in float64, with energies in the units of the files."""
    names = potential.networks.activation[row]
    layers = [
        NamedLayer(layer.weight.detach().double().cpu().numpy(), layer.bias.detach().double().cpu().numpy(), name)
        for layer, name in zip(potential.networks.linear(row), names, strict=True)
    ]
    return scaled(with_linear_output(layers), potential.energy_scale / unit.energy)


def _references(potential: Potential) -> np.ndarray:
    """What is added to the scaled output of each element's network (eV)."""
    references = potential.reference_energies.cpu().numpy()
    if not potential.anchored:
        return references
    exact = deepcopy(potential).cpu()
    exact.networks.double()
    exact.anchored = False
    exact.reference_energies.zero_()
    return references - exact.isolated_energies().detach().numpy()


def _settings_text(
    potential: Potential,
    functions: dict[int, list[tuple[int, Found]]],
    networks: Sequence[Sequence[NamedLayer]],
    unit: Units,
) -> str:
    elements = [symbol(number) for number in potential.elements]
    cutoff = cutoff_of(potential.descriptor.functions)
    letters = [" ".join(LETTER_OF[layer.activation] for layer in network) for network in networks]
    widths = [len(layer.bias) for layer in networks[0][:-1]]
    lines = [
        "# A potential written by mlip; its energies are sums of networks of atoms (2G).",
        f"number_of_elements {len(elements)}",
        f"elements {' '.join(elements)}",
        *(
            f"atom_energy {name} {energy / unit.energy!r}"
            for name, energy in zip(elements, _references(potential).tolist(), strict=True)
        ),
        f"cutoff_type {ORDER_OF_CUTOFFS.index(cutoff.name)} {cutoff.share!r}",
        "scale_symmetry_functions_sigma",
        "scale_min_short 0.0",
        "scale_max_short 1.0",
        f"global_hidden_layers_short {len(widths)}",
        f"global_nodes_short {' '.join(map(str, widths))}",
        f"global_activation_short {letters[0]}",
        *(
            f"element_activation_short {name} {mine}"
            for name, mine in zip(elements, letters, strict=True)
            if mine != letters[0]
        ),
    ]
    for found in functions.values():
        lines += ["", *(line_of(one, unit.length) for _, one in found)]
    return "\n".join(lines) + "\n"
