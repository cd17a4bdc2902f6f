"""The keywords of input.nn."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from mlip.elements import symbol
from mlip.interfaces.n2p2.text import Line, read_lines

logger = logging.getLogger(__name__)

# What makes the predictions; those in REPEATED may stand more than once.
REPEATED = (
    "symfunction_short", "global_symfunction_short", "element_symfunction_short", "atom_energy",
    "element_hidden_layers_short", "element_nodes_short", "element_activation_short",
)  # fmt: skip
MEANINGFUL = (
    *REPEATED, "number_of_elements", "elements", "cutoff_type", "cutoff_alpha", "scale_symmetry_functions",
    "center_symmetry_functions", "scale_symmetry_functions_sigma", "scale_min_short", "scale_max_short",
    "global_hidden_layers_short", "global_nodes_short", "global_activation_short", "normalize_nodes", "mean_energy",
    "conv_energy", "conv_length", "nnp_type", "nnp_gen", "nn_type_short", "committee_mode",
)  # fmt: skip
ALIASES = {
    "nn_type": "nnp_type",
    "scale_min_short_atomic": "scale_min_short",
    "scale_max_short_atomic": "scale_max_short",
}
# Energies that are no sum of networks over atoms and their neighbors.
BEYOND = {
    "use_electrostatics": "electrostatics",
    "initial_hardness": "charge equilibration (4G)",
    "fixed_gausswidth": "charge equilibration (4G)",
    "fixed_charge": "electrostatics",
    "symfunction_electrostatic": "electrostatics",
    "use_vdw": "dispersion",
    "vdw_type": "dispersion",
    "symfunction_short_pair": "networks of pairs",
}
# What concerns training and output alone begins like this, in RuNNer and in n2p2; so do the words of other networks.
HARMLESS = (
    "analyze", "bond_threshold", "calculate_", "charge_", "check_", "data_clustering", "debug_mode",
    "detailed_timing", "detect_saturation", "dynforcegroup", "electrostatic_type", "elec_", "enable_on_the_fly_input",
    "energy_", "enforce_", "environment_analysis", "epochs", "ewald_", "find_contradictions", "fitting_unit", "fit_",
    "fix_weights", "force_", "four_pi_epsilon", "full_output", "global_output", "gradient_", "growth_mode",
    "ignore_prefactor", "jacobian_", "joint_energy", "kalman_", "kspace_", "main_error_metric", "max_energy",
    "max_force", "memorize_", "md_mode", "mix_all_points", "mode", "nguyen_widrow", "noise_", "nn_mode", "nnmode",
    "normalize_data_set", "optmode", "pairsymfunction", "parallel_mode", "points_in_memory", "precondition",
    "prepare_md", "print_", "random_", "regularize", "repeated_", "remove_", "restrict_weights", "reset_kalman",
    "rmse_", "runner_mode", "scale_max_elec", "scale_min_elec", "screen_electrostatics", "selection_", "separate_",
    "short_", "shuffle_weights", "silent", "steepest_", "sym_", "task_batch", "test_fraction", "total_charge",
    "truncation_error", "update", "use_atom", "use_charges", "use_damping", "use_electrostatic_", "use_ipi",
    "use_noisematrix", "use_old", "use_omp", "use_short", "use_sf", "use_systematic", "vdw_cutoff", "vdw_radius",
    "weight", "worst_", "write_", "conv_charge",
)  # fmt: skip
OTHER_NETWORKS = ("_electrostatic", "_elec", "_charge", "_pair", "_ham", "_hextoff", "_magmom")


class Settings:
    """What input.nn says, keyword by keyword.

    Raises:
        ValueError: the file is not there, a keyword stands twice, is misspelled, or needs more than networks of atoms.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, list[Line]] = {}
        for line in read_lines(path, "#!"):
            keyword = ALIASES.get(line.words[0], line.words[0])
            _require_sense(keyword, line)
            self._lines.setdefault(keyword, []).append(Line(line.words[1:], line.place))
            if keyword in MEANINGFUL and keyword not in REPEATED and len(self._lines[keyword]) > 1:
                first = self._lines[keyword][0].place
                raise ValueError(f"{line.place}: '{keyword}' stands in {first} as well. Take one of them out")

    def __contains__(self, keyword: str) -> bool:
        return keyword in self._lines

    def all(self, keyword: str) -> Sequence[Line]:
        """The lines of a keyword, without it."""
        return self._lines.get(keyword, [])

    def one(self, keyword: str, cure: str) -> Line:
        """The line of a keyword that must be there.

        Raises:
            ValueError: it is not.
        """
        if keyword not in self:
            raise ValueError(f"{self.path}: no '{keyword}'. {cure}")
        return self._lines[keyword][0]

    def real(self, keyword: str, default: float) -> float:
        """The number behind a keyword."""
        for line in self.all(keyword):
            line.nothing_after(1)
            return line.real(0, keyword)
        return default

    def elements(self) -> tuple[int, ...]:
        """Atomic numbers, ascending: the order of the elements in all other files."""
        line = self.one("elements", "Add it with the chemical symbols, such as: elements O H")
        found = [line.element(column) for column in range(len(line.words))]
        if len(set(found)) < len(found) or not found:
            raise ValueError(f"{line.place}: elements are '{' '.join(line.words)}'; expected each of them once")
        for count in self.all("number_of_elements"):
            if count.whole(0, "number_of_elements") != len(found):
                raise ValueError(
                    f"{count.place}: number_of_elements is {count.words[0]}, but {line.place} names {len(found)}. "
                    "Correct one of them"
                )
        return tuple(sorted(found))

    def by_element(self, keyword: str, elements: tuple[int, ...]) -> dict[int, list[Line]]:
        """The lines of a keyword that begin with an element, without it."""
        found: dict[int, list[Line]] = {number: [] for number in elements}
        for line in self.all(keyword):
            found[line.element(0, elements)].append(Line(line.words[1:], line.place))
        return found

    def atom_energies(self, elements: tuple[int, ...]) -> list[float]:
        """Energy of each element that is added for each of its atoms, in the units of the file."""
        energies = []
        for number, lines in self.by_element("atom_energy", elements).items():
            if len(lines) > 1:
                raise ValueError(
                    f"{lines[1].place}: {symbol(number)} has an atom_energy in {lines[0].place} as well. "
                    "Take one of them out"
                )
            for line in lines:
                line.nothing_after(1)
            energies.append(lines[0].real(0, "atom_energy") if lines else 0.0)
        return energies

    def normalization(self) -> tuple[float, float, float]:
        """Mean energy per atom, and what normalized energies and lengths are per physical ones."""
        keywords = "mean_energy", "conv_energy", "conv_length"
        given = [keyword for keyword in keywords if keyword in self]
        if given and len(given) < 3:
            raise ValueError(
                f"{self.path}: has {', '.join(given)}; expected all of {', '.join(keywords)}, or none of them"
            )
        mean, energy, length = (
            self.real("mean_energy", 0.0),
            self.real("conv_energy", 1.0),
            self.real("conv_length", 1.0),
        )
        if energy == 0 or length <= 0:
            raise ValueError(
                f"{self.path}: conv_energy is {energy} and conv_length {length}; expected one that is not zero, and a "
                "positive one"
            )
        return mean, energy, length


def _require_sense(keyword: str, line: Line) -> None:
    """See that a line changes no prediction that this reader does not know."""
    if keyword in BEYOND and not (keyword == "vdw_type" and line.words[1:] == ("0",)):
        raise ValueError(
            f"{line.place}: '{keyword}' is for {BEYOND[keyword]}; expected a potential whose energy is the sum of "
            "networks of atoms (2G, nnp_type 2). This one cannot be imported"
        )
    _REFUSALS.get(keyword, lambda line: None)(line)
    if keyword in MEANINGFUL or keyword.startswith(HARMLESS) or any(part in keyword for part in OTHER_NETWORKS):
        return
    meant = get_close_matches(keyword, MEANINGFUL, 1, cutoff=0.8)
    if meant:
        raise ValueError(f"{line.place}: unknown keyword '{keyword}'. Did you mean {meant[0]}?")
    logger.warning("%s: keyword '%s' is unknown to this reader and passed over", line.place, keyword)


def _require_second_generation(line: Line) -> None:
    """See that an nnp_type is that of networks of atoms alone: 2 or 2G; 0 and 1 in older programs."""
    word = line.word(1, line.words[0])
    if word.upper().removesuffix("-HDNNP") not in ("2G", "2", "1", "0"):
        meaning = {"4": "4G, charge equilibration", "3": "3G, electrostatics"}.get(word[:1], "not known")
        raise ValueError(
            f"{line.place}: {line.words[0]} is {word} ({meaning}); expected 2G: networks of atoms and nothing else. "
            "A potential with charges cannot be imported"
        )


def _require_atoms(line: Line) -> None:
    """See that networks are of atoms, not of pairs of them."""
    if line.word(1, line.words[0]) != "1":
        raise ValueError(
            f"{line.place}: {line.words[0]} is {line.words[1]} (not networks of atoms); expected 1. "
            "This potential cannot be imported"
        )


def _require_no_committee(line: Line) -> None:
    """See that there is one network for each element."""
    if line.word(1, line.words[0]).lower() != "disabled":
        raise ValueError(
            f"{line.place}: {line.words[0]} is {line.words[1]}; expected disabled. Import the members one by one"
        )


_REFUSALS = {
    "nnp_type": _require_second_generation,
    "nnp_gen": _require_second_generation,
    "nn_type_short": _require_atoms,
    "committee_mode": _require_no_committee,
}
