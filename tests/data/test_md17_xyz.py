import numpy as np
import pytest
from ase.units import kcal, mol

from mlip.data.options import ReadOptions
from mlip.data.read import read_structures

KCAL = kcal / mol


def frames(water, comment="{energy:.12f}"):
    blocks = []
    for energy, positions, forces in zip(water["E"], water["R"], water["F"], strict=True):
        rows = [
            " ".join([symbol, *(f"{value:.12f}" for value in (*place, *force))])
            for symbol, place, force in zip("OHH", positions, forces, strict=True)
        ]
        blocks.append("\n".join(["3", comment.format(energy=energy), *rows]) + "\n")
    return blocks


def save(tmp_path, blocks):
    path = tmp_path / "water.xyz"
    path.write_text("".join(blocks))
    return path


@pytest.mark.parametrize(
    "comment",
    ["{energy:.12f}", "Energy: {energy:.12f}", "step 12 energy {energy:.12f} at 300.0 K", "17 {energy:.12f} kcal/mol"],
)
def test_values(tmp_path, water, comment):
    structures = read_structures(save(tmp_path, frames(water, comment)))
    assert [s.origin for s in structures] == [f"water.xyz#{k}" for k in range(5)]
    for k, structure in enumerate(structures):
        assert structure.numbers.tolist() == [8, 1, 1]
        assert structure.energy == pytest.approx(round(water["E"][k], 12) * KCAL, rel=1e-13)
        np.testing.assert_allclose(structure.positions, water["R"][k], rtol=0, atol=1e-12)
        np.testing.assert_allclose(structure.forces, water["F"][k] * KCAL, rtol=0, atol=1e-12)


def test_frames_of_different_size_and_a_selection(tmp_path, water):
    atom = "1\n-0.5\nH 0 0 0 0 0 0.25\n"
    blocks = frames(water)
    path = save(tmp_path, [blocks[0], atom, blocks[1]])
    assert [len(s) for s in read_structures(path)] == [3, 1, 3]
    chosen = read_structures(path, ReadOptions(index="1::1", energy_unit="eV"))
    assert [s.origin for s in chosen] == ["water.xyz#1", "water.xyz#2"]
    assert chosen[0].energy == -0.5 and chosen[0].forces.tolist() == [[0, 0, 0.25]]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("O ", "Q ", "'Q' is not a chemical element"),
        ("H ", "H abc ", r"water\.xyz#0: line 4 is 'H abc .*expected seven columns"),
        ("3\n", "4\n", r"line 6 is '3'; expected seven columns|line 7|expected seven columns"),
        ("-76.", "energy unknown, ", r"water\.xyz#0: the comment is 'energy unknown.*expected the energy"),
    ],
)
def test_wrong_lines(tmp_path, water, old, new, words):
    blocks = frames(water, "-76.")
    path = save(tmp_path, [blocks[0].replace(old, new, 1), *blocks[1:]])
    with pytest.raises(ValueError, match=words):
        read_structures(path, ReadOptions(format="md17_xyz"))


def test_a_comment_of_several_whole_numbers_is_ambiguous(tmp_path, water):
    with pytest.raises(ValueError, match="expected the energy"):
        read_structures(save(tmp_path, frames(water, "3 17")))


def test_cut_short(tmp_path, water):
    path = save(tmp_path, frames(water))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(ValueError, match=r"water\.xyz#4: cut short; line 21 says 3 atoms, but only 2 follow"):
        read_structures(path)
    path.write_text("".join(lines)[:-40])
    with pytest.raises(ValueError, match=r"water\.xyz#4: line 25 .*seven columns"):
        read_structures(path)


def test_a_blank_line_between_frames(tmp_path, water):
    blocks = frames(water)
    with pytest.raises(ValueError, match="line 6 is blank; expected the number of atoms"):
        read_structures(save(tmp_path, [blocks[0], "\n", *blocks[1:]]))


def test_there_are_no_keys_to_name(tmp_path, water):
    with pytest.raises(ValueError, match=r"data\.energy_key is 'E', but a file of format md17_xyz has no keys"):
        read_structures(save(tmp_path, frames(water)), ReadOptions(energy_key="E"))
