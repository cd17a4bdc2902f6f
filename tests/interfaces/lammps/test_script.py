"""What LAMMPS is given to read in place of a user's input."""

import pytest

from mlip.interfaces.lammps.script import prepared

BOX = ["units metal", "boundary p p p", "region b block 0 9 0 9 0 9", "create_box 1 b"]


def script(folder, *lines):
    path = folder / "in.lammps"
    path.write_text("\n".join(lines) + "\n")
    return prepared(path, 5.25)


def test_without_a_pair_style_ghosts_are_asked_for_when_there_is_a_box(tmp_path):
    made = script(tmp_path, *BOX, "fix 1 all nve", "run 10", "unfix 1", "run 5")
    assert made.before.splitlines() == [*BOX, "pair_style zero 5.25", "pair_coeff * *"]
    jump, *rest = made.after.splitlines()
    label = rest.index("label " + jump.split()[-1])
    assert jump.startswith("jump SELF ")
    assert rest[:label] == made.before.splitlines()  # labels there can be jumped to
    assert rest[label + 1 :] == ["fix 1 all nve", "run 10", "unfix 1", "run 5"]
    assert made.elements == ()


def test_the_potential_stands_like_any_pair_style(tmp_path):
    made = script(tmp_path, *BOX, "pair_style mlip", "pair_coeff * * Si O  # by type", "minimize 0 0 1 1")
    assert made.before.splitlines() == BOX
    assert made.after.splitlines()[-3:] == ["pair_style zero 5.25", "pair_coeff * *", "minimize 0 0 1 1"]
    assert made.elements == ("Si", "O")


def test_fixes_from_before_there_is_a_box_stay_there(tmp_path):
    first = ["units metal", "fix names all property/atom i_name", "read_data start.data fix names NULL Names"]
    made = script(tmp_path, *first, "velocity all create 300 1", "fix 1 all nve", "run 10")
    assert made.before.splitlines()[:3] == first
    assert made.after.splitlines()[-3:] == ["velocity all create 300 1", "fix 1 all nve", "run 10"]


def test_an_input_that_goes_on_where_it_may_makes_its_box_in_an_if(tmp_path):
    begin = 'if "$(is_file(a.restart))" then "read_restart a.restart" else "read_data start.data"'
    made = script(tmp_path, "units metal", begin, "fix 1 all nve", "run 10 upto")
    assert made.before.splitlines() == ["units metal", begin, "pair_style zero 5.25", "pair_coeff * *"]
    assert made.after.splitlines()[-2:] == ["fix 1 all nve", "run 10 upto"]


def test_other_styles_are_kept_beside_it(tmp_path):
    styles = ["pair_style hybrid/overlay mlip zbl 0.8 2.0", "pair_coeff * * mlip Si", "pair_coeff 1 1 zbl 14 14"]
    made = script(tmp_path, *BOX, *styles, "run 1")
    assert made.after.splitlines()[6:-1] == [
        "pair_style hybrid/overlay zero 5.25 zbl 0.8 2.0", "pair_coeff * * zero", "pair_coeff 1 1 zbl 14 14",
    ]  # fmt: skip
    assert made.elements == ("Si",)


def test_continued_lines_and_texts_over_several_are_one_command(tmp_path):
    made = script(
        tmp_path, *BOX, "pair_style &", "  mlip", "pair_coeff * * &", "Si", 'print """run 5', 'two"""', "run 1"
    )
    assert made.after.splitlines()[6:-1] == ["pair_style zero 5.25", "pair_coeff * *", 'print """run 5', 'two"""']
    assert made.elements == ("Si",)


def test_included_files_are_part_of_the_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "potential.in").write_text("pair_style mlip\npair_coeff * * Si\n")
    made = script(tmp_path, *BOX, "include potential.in", "run 1")
    assert made.elements == ("Si",) and "include" not in made.before + made.after


def test_a_run_that_an_if_leads_to_counts(tmp_path):
    made = script(tmp_path, *BOX, 'if "1 > 0" then "run 5"')
    assert made.before.splitlines()[-2:] == ["pair_style zero 5.25", "pair_coeff * *"]


@pytest.mark.parametrize(
    ("lines", "essentials"),
    [
        (["fix 1 all nve"], ("no run",)),
        (["pair_style lj/cut 5.0", "run 1"], ("line 5", "lj/cut", "hybrid/overlay mlip lj/cut 5.0")),
        (["pair_style hdnnp 6.36 dir nnp", "run 1"], ("line 5", "Write: pair_style mlip;")),
        (["pair_style hybrid mlip zbl 1 2", "run 1"], ("hybrid/overlay",)),
        (["pair_style mlip 6.0", "run 1"], ("6.0", "has its cutoff")),
        (["pair_style mlip", "pair_coeff 1 1 Si", "run 1"], ("line 6", "pair_coeff * *")),
        (["pair_style mlip", "pair_coeff * * Si", "pair_coeff * * Ge", "run 1"], ("line 7", "Ge", "Si")),
        (["run 1", "clear", "run 1"], ("line 6", "clear")),
        (["include there_is_none.in", "run 1"], ("there_is_none.in",)),
        (["run 1 &"], ("continued",)),
    ],
)
def test_what_cannot_be_is_said_with_its_line(tmp_path, monkeypatch, lines, essentials):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as error:
        script(tmp_path, *BOX, *lines)
    for text in essentials:
        assert text in str(error.value)


def test_a_run_without_a_box_is_refused(tmp_path):
    path = tmp_path / "in.lammps"
    path.write_text("units metal\nrun 1\n")
    with pytest.raises(ValueError, match="line 2: run without a box"):
        prepared(path, 5.0)


def test_a_file_that_includes_itself_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="includes itself"):
        script(tmp_path, *BOX, "include in.lammps", "run 1")
