"""Keywords of RuNNer and n2p2 that say the same in other words, and those that the two read differently."""

import numpy as np
import pytest

from interfaces.test_n2p2_errors import FILES, change
from mlip.interfaces.n2p2.functions import read_functions
from mlip.interfaces.n2p2.reading import read_potential
from mlip.interfaces.n2p2.settings import Settings
from mlip.interfaces.n2p2.topology import activations, possible_widths

HEAD = "elements Si O\ncutoff_type 1\nglobal_hidden_layers_short 2\n"


def settings(tmp_path, text):
    (tmp_path / "input.nn").write_text(text)
    return Settings(tmp_path / "input.nn")


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def functions(folder, *lines):
    """Functions of a potential whose input.nn has these lines; numbers in the other files do not matter."""
    text = FILES["input.nn"]
    kept = [line for line in text.splitlines() if not line.startswith("symfunction_short")]
    (folder / "input.nn").write_text("\n".join([*kept, *lines]))
    made = Settings(folder / "input.nn")
    return {z: [one.function for one in mine] for z, mine in read_functions(made, made.elements(), 1.0).items()}


def written_out(kind, rest):
    pairs = [("O", "O"), ("O", "Si"), ("Si", "Si")]
    names = {2: [("O",), ("Si",)], 20: [("O",), ("Si",)], 3: pairs, 9: pairs, 21: pairs, 22: pairs}.get(kind, [()])
    return [f"{kind} {' '.join(chosen)} {rest}" for chosen in names]


@pytest.mark.parametrize(
    ("kind", "rest"),
    [
        (2, "0.5 0.1 3.0"), (3, "0.5 1 2.0 3.0"), (9, "0.5 -1 2.0 3.0 0.2"), (12, "0.5 0.0 3.0"),
        (13, "0.5 0.1 1 2.0 3.0"), (20, "0.0 3.0 p1"), (21, "0.0 3.0 0 90 p1"), (22, "0.0 3.0 0 90 p2a"),
        (23, "0.0 3.0 e"), (24, "0.0 3.0 0 90 p1"), (25, "0.0 3.0 0 90 p1"),
    ],
)  # fmt: skip
def test_functions_of_all_centers_or_of_one(kind, rest, folder):
    lines = [f"symfunction_short {center} {line}" for center in ("O", "Si") for line in written_out(kind, rest)]
    wanted = functions(folder, *lines)
    assert functions(folder, f"global_symfunction_short {kind} {rest}") == wanted
    assert functions(folder, *(f"element_symfunction_short {name} {kind} {rest}" for name in ("Si", "O"))) == wanted


def test_the_inner_cutoff_of_either_program(folder):
    change(folder, "input.nn", "cutoff_type 2", "cutoff_type 5 0.25")
    wanted = read_potential(folder, "eV-Ang").descriptor.functions
    assert all(f.inner_cutoff == 0.75 and f.cutoff_function == "polynomial_1" for f in wanted)
    change(folder, "input.nn", "cutoff_type 5 0.25", "cutoff_type 5\ncutoff_alpha 0.25")
    assert read_potential(folder, "eV-Ang").descriptor.functions == wanted
    change(folder, "input.nn", "cutoff_type 5\n", "cutoff_type 2\n")
    assert all(f.inner_cutoff == 0.0 for f in read_potential(folder, "eV-Ang").descriptor.functions)
    change(folder, "input.nn", "cutoff_type 2\n", "")
    assert all(f.cutoff_function == "cosine" for f in read_potential(folder, "eV-Ang").descriptor.functions)


def test_a_negative_shift_is_what_n2p2_makes_of_it(folder, caplog):
    change(folder, "input.nn", "0.5 -1 1.0 3.0", "0.5 -1 1.0 3.0 -0.4")
    assert all(f.r_s == 0.0 for f in read_potential(folder, "eV-Ang").descriptor.functions)
    assert "negative r_s" in caplog.text


@pytest.mark.parametrize(
    ("lines", "widths"),
    [
        ("global_nodes_short 7 5", [[7, 5]]),
        ("global_nodes_short 7 5\nelement_nodes_short O 3 4", [[3, 4], [3, 5]]),  # n2p2 3.0.0-dev: the last is global
        ("global_nodes_short 7 5\nelement_nodes_short O 2 4", [[2, 4], [2, 5], [7, 4]]),  # RuNNer: layer 2 has 4
        ("global_nodes_short 7 5\nelement_nodes_short O 1 4\nelement_nodes_short O 2 6", None),
        ("element_nodes_short O 3 4", [[3, 4]]),
        ("global_nodes_short 7 5\nelement_hidden_layers_short O 3\nelement_nodes_short O 2 3 4", [[2, 3, 4]]),
    ],
)
def test_widths_that_can_be_meant(lines, widths, tmp_path):
    found = possible_widths(settings(tmp_path, HEAD + lines), 8, (8, 14))
    if widths is None:
        assert [4, 6] in found
    else:
        assert found == widths
    if "global_nodes" in lines:
        assert possible_widths(settings(tmp_path, HEAD + lines), 14, (8, 14)) == [[7, 5]]


@pytest.mark.parametrize("last", [2, 3])
def test_the_number_of_weights_tells_which(last, folder):
    """n2p2 3.0.0-dev leaves the last hidden layer as global_nodes_short says."""
    change(folder, "input.nn", "global_nodes_short 2", "global_nodes_short 2\nelement_nodes_short Si 3")
    amount = (1 + 1) * last + (last + 1)
    (folder / "weights.014.data").write_text("\n".join(map(str, np.linspace(-1, 1, amount))))
    assert read_potential(folder, "eV-Ang").networks.hidden == [[2], [last]]


def test_activations_of_an_element(tmp_path, caplog):
    text = HEAD + "global_activation_short t p l\nelement_activation_short O g S l\n"
    assert activations(settings(tmp_path, text), 8, (8, 14)) == ["gaussian", "reverse_sigmoid", "linear"]
    assert activations(settings(tmp_path, text), 14, (8, 14)) == ["tanh", "softplus", "linear"]
    assert not caplog.text
    text = text.replace("g S l", "g S t")
    assert activations(settings(tmp_path, text), 8, (8, 14))[-1] == "linear", "as n2p2 has it"
    assert "output of O" in caplog.text
    text = text.replace("global_activation_short t p l\n", "")
    assert activations(settings(tmp_path, text), 8, (8, 14))[-1] == "tanh"
