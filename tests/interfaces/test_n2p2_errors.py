"""What is wrong with a folder is said in one message that names the file, the line and the cure."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interfaces import n2p2_folders
from mlip.interfaces.n2p2.reading import read_potential

INPUT = """\
# A tiny potential: silicon and oxygen
number_of_elements 2   ! RuNNer's comment
elements Si O
cutoff_type 2
scale_symmetry_functions
global_hidden_layers_short 1
global_nodes_short 2
global_activation_short t l
epochs 10
symfunction_short O 2 Si 0.5 0.0 3.0
symfunction_short O 3 Si O 0.5 -1 1.0 3.0
symfunction_short Si 2 O 5.0D-01 0.0 3.0D0
"""
SCALING = "1 1 0.0 1.0 0.5 0.2\n1 2 0.0 2.0 0.5 0.2\n2 1 0.5 1.5 1.0 0.2\n"
FILES = {
    "input.nn": INPUT,
    "scaling.data": SCALING,
    "weights.008.data": "\n".join(map(str, np.linspace(-1, 1, 9))) + "\n",
    "weights.014.data": "\n".join(map(str, np.linspace(-1, 1, 7))) + "\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def change(folder, name, old, new):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))


def test_the_folder_itself_is_fine(folder):
    potential = read_potential(folder, "eV-Ang")
    assert potential.elements == (8, 14) and potential.descriptor.functions[-1].eta == 0.5


@pytest.mark.parametrize(
    ("old", "new", "essentials"),
    [
        ("number_of_elements 2", "number_of_elements 3", ("line 2", "names 2")),
        ("elements Si O", "elements Si Xy", ("line 3", "'Xy' is no chemical symbol")),
        ("elements Si O", "elements Si Si", ("line 3", "each of them once")),
        ("elements Si O", "elements Si H", ("line 10", "O is not in 'elements'")),
        ("elements Si O", "", ("no 'elements'",)),
        ("cutoff_type 2", "cutoff_type 9", ("line 4", "0 to 8")),
        ("cutoff_type 2", "cutoff_type two", ("line 4", "whole number")),
        ("cutoff_type 2", "cutoff_type 1 1.5", ("line 4", "inner cutoff is 1.5")),
        ("cutoff_type 2", "cutoff_type 2\ncutoff_type 1", ("line 5", "line 4 as well")),
        ("scale_symmetry_functions", "scale_symmetry_function", ("line 5", "Did you mean scale_symmetry_functions?")),
        ("scale_symmetry_functions", "scale_symmetry_functions\nscale_max_short 0", ("both 0.0",)),
        ("epochs 10", "nnp_type 4G-HDNNP", ("line 9", "4G", "charge")),
        ("epochs 10", "nnp_type 4", ("line 9", "4G")),
        ("epochs 10", "initial_hardness Si 0.5", ("4G",)),
        ("epochs 10", "use_electrostatics", ("line 9", "electrostatics")),
        ("epochs 10", "committee_mode prediction", ("one by one",)),
        ("epochs 10", "mean_energy -1.0", ("mean_energy", "conv_energy, conv_length")),
        ("epochs 10", "mean_energy 0\nconv_energy 0\nconv_length 1", ("conv_energy is 0.0",)),
        ("epochs 10", "atom_energy H 1.0", ("line 9", "H is not in 'elements'")),
        ("epochs 10", "atom_energy O", ("line 9", "no atom_energy")),
        ("epochs 10", "atom_energy O 1.0\natom_energy O 2.0", ("line 10", "line 9 as well")),
        ("hidden_layers_short 1", "hidden_layers_short 2", ("expected 2",)),
        ("hidden_layers_short 1", "hidden_layers_short 0", ("line 6", "at least one")),
        ("global_hidden_layers_short 1", "", ("no 'global_hidden_layers_short'",)),
        ("global_nodes_short 2", "global_nodes_short -2", ("positive numbers",)),
        ("global_nodes_short 2", "", ("no widths",)),
        ("global_nodes_short 2", "global_nodes_short 3", ("weights.008.data: 9 weights; expected 13", "2-3-1")),
        ("activation_short t l", "activation_short t", ("line 8", "expected 2")),
        ("activation_short t l", "activation_short q l", ("line 8", "'q' is unknown")),
        ("O 2 Si 0.5", "O 7 Si 0.5", ("line 10", "type 7", "2, 3, 9, 12, 13")),
        ("O 2 Si 0.5 0.0 3.0", "O 2 Si 0.5 0.0", ("line 10", "no cutoff", "column 6")),
        ("O 2 Si 0.5 0.0 3.0", "O 2 Si 0.5 0.0 3.0 4.0", ("line 10", "'4.0' in column 7")),
        ("O 2 Si 0.5 0.0 3.0", "O 2 Si nan 0.0 3.0", ("line 10", "finite number")),
        ("O 2 Si 0.5 0.0 3.0", "O 2 Si -0.5 0.0 3.0", ("line 10", "must not be negative")),
        ("O 2 Si 0.5 0.0 3.0", "O 2 Si 0.5 0.0 -3.0", ("line 10", "positive, finite length")),
        ("O 2 Si 0.5 0.0 3.0", "O 20 Si 0.5 3.0 p7", ("line 10", "p7")),
        ("symfunction_short Si", "# symfunction_short Si", ("no symfunction_short around Si",)),
    ],
)  # fmt: skip
def test_a_mistake_in_the_settings(folder, old, new, essentials):
    change(folder, "input.nn", old, new)
    with pytest.raises(ValueError) as caught:
        read_potential(folder, "eV-Ang")
    missing = [text for text in essentials if text not in str(caught.value)]
    assert not missing, str(caught.value)


@pytest.mark.parametrize(
    ("name", "old", "new", "essentials"),
    [
        ("scaling.data", "1 2 0.0 2.0", "1 1 0.0 2.0", ("line 2", "expected element 1 (O), function 2")),
        ("scaling.data", "2 1 0.5 1.5 1.0 0.2\n", "", ("2 rows for the 3 symmetry functions",)),
        (
            "scaling.data",
            "2 1 0.5 1.5",
            "2 1 0.5 0.5",
            ("line 3", "maximum - minimum is 0.0", "line 12", "weights.014"),
        ),
        ("scaling.data", "2 1 0.5 1.5", "2 1 0.5 inf", ("line 3", "finite number")),
        ("weights.008.data", "-1.0\n", "", ("8 weights; expected 9",)),
        ("weights.008.data", "-1.0\n", "x\n", ("line 1", "weight is 'x'")),
        ("weights.008.data", "-1.0\n", "-1.0 b\n", ("line 1", "(a weight, b bias)")),
    ],
)
def test_a_mistake_in_the_numbers(folder, name, old, new, essentials):
    change(folder, name, old, new)
    with pytest.raises(ValueError) as caught:
        read_potential(folder, "eV-Ang")
    missing = [text for text in (name, *essentials) if text not in str(caught.value)]
    assert not missing, str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name}: no such file"):
        read_potential(folder, "eV-Ang")


def test_no_folder_and_no_units(folder):
    with pytest.raises(ValueError, match="no such folder"):
        read_potential(folder / "elsewhere", "eV-Ang")
    with pytest.raises(ValueError, match="eV-Ang or Ha-Bohr"):
        read_potential(folder, "kcal")


def test_files_of_charges(folder):
    (folder / "weightse.008.data").write_text("1.0\n")
    with pytest.raises(ValueError, match=r"weightse.008.data.*charges"):
        read_potential(folder, "eV-Ang")
    change(folder, "input.nn", "epochs 10", "nnp_type 2")
    read_potential(folder, "eV-Ang")


def test_what_is_no_mistake(folder, caplog):
    """Windows line ends, tabs, words behind the numbers, unknown keywords, RuNNer's scaling.data."""
    change(folder, "input.nn", "epochs 10", "epochs 10\t20\nplot_something yes\nrunner_mode 3\nkalman_type 0")
    change(folder, "input.nn", "O 2 Si 0.5 0.0 3.0", "O\t2 Si 0.5 0.0 3.0  first shell")
    for name in FILES:
        (folder / name).write_bytes((folder / name).read_bytes().replace(b"\n", b"\r\n"))
    (folder / "scaling.data").write_text("1 1 0. 1. .5\n 1 2 0. 2. .5\n\n2 1 .5 1.5 1.\n -1.5 2.5\n")
    read_potential(folder, "eV-Ang")
    assert "plot_something" in caplog.text and "line 10" in caplog.text
    assert "kalman" not in caplog.text and "runner_mode" not in caplog.text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_refused_or_read(tmp_path, data):
    """Whatever is cut out or put in: a ValueError or a potential, nothing else."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    name = data.draw(st.sampled_from(sorted(FILES)))
    text = FILES[name]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    new = data.draw(st.sampled_from(["", " ", "\n", "-", "#", "0", "1e999", "nan", "Å", "\0", "2 ", "H ", "t "]))
    (tmp_path / name).write_text(text[:start] + new + text[end:], encoding="utf-8")
    try:
        read_potential(tmp_path, "eV-Ang")
    except ValueError as error:
        assert len(str(error)) > 20


@pytest.mark.parametrize("seed", range(3))
def test_a_constant_function_never_gives_nan(seed, tmp_path):
    n2p2_folders.write(tmp_path, 5 * seed + 4)  # scale_symmetry_functions_sigma
    lines = (tmp_path / "scaling.data").read_text().splitlines()
    lines[1] = "1 1 0.5 0.5 0.5 0.0"
    (tmp_path / "scaling.data").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"sigma is 0.0.*constant in training"):
        read_potential(tmp_path, "eV-Ang")
