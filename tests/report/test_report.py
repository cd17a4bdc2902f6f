"""What a report says of a run: numbers against an evaluation of their own, warnings, files, refusals."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from ase.io import read, write
from interfaces.command import mlip, refused
from interfaces.trained import ALCU, DATA, ETHANOL, alcu, ethanol, train

from mlip.cli import make_parser
from mlip.report.environment_figures import principal_axes
from mlip.report.figures import errors_by_group
from mlip.report.markup import duration, number, table
from mlip.report.report import make_report
from mlip.report.style import PALETTE, _power, inline
from mlip.report.worst import bonds, formula

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def report():
    return make_report(alcu(), CPU)


def test_errors_are_those_of_the_runs_end(report):
    """The page evaluates for its figures; the run's end evaluated for results.json: both are the same numbers."""
    written = json.loads((alcu() / "results.json").read_text(encoding="utf-8"))
    assert report.judged.name == "test"
    for name, part in report.parts.items():
        assert part.total == len(part.structures) == written[name]["structures"]
        for key, value in part.results["all"].items():
            assert value == pytest.approx(written[name][key], rel=1e-5), (name, key)
        for kind, key in (("energy", "energy_mae_per_atom"), ("forces", "forces_mae"), ("stress", "stress_mae")):
            assert np.abs(part.errors(kind)).mean() == pytest.approx(written[name][key], rel=1e-5), (name, kind)


def test_errors_by_element_and_group_add_up(report):
    part = report.judged
    found = part.forces_by_element()
    atoms = sum(count for count, _, _ in found.values())
    assert atoms == sum(len(s) for s in part.structures)
    mean = sum(count * mae for count, mae, _ in found.values()) / atoms
    square = sum(count * rmse**2 for count, _, rmse in found.values()) / atoms
    assert mean == pytest.approx(part.results["all"]["forces_mae"], rel=1e-6)
    assert square**0.5 == pytest.approx(part.results["all"]["forces_rmse"], rel=1e-6)
    groups = {name: results for name, results in part.results.items() if name != "all"}
    assert set(groups) == {"Al", "Cu", "AlCu"}, "config_type of the file"
    assert sum(results["structures"] for results in groups.values()) == len(part.structures)


def test_nearest_distances_are_ases(report):
    """The shortest distances by pair of elements, against ASE's neighbor list."""
    from ase.neighborlist import neighbor_list

    frames = read(ALCU, ":60")
    by_place = {f"{ALCU.name}#{place}": frame for place, frame in enumerate(frames)}
    part = report.judged
    nearest, closest = [], {}
    for structure in part.structures:
        atoms = by_place[structure.origin.rpartition("/")[2]]
        center, neighbor, lengths = neighbor_list("ijd", atoms, 4.0)
        shortest = np.full(len(atoms), np.inf)
        np.minimum.at(shortest, center, lengths)
        nearest.append(shortest)
        for a, b, length in zip(atoms.numbers[center], atoms.numbers[neighbor], lengths, strict=True):
            pair = (int(min(a, b)), int(max(a, b)))
            closest[pair] = min(closest.get(pair, np.inf), length)
    np.testing.assert_allclose(part.environments.nearest, np.concatenate(nearest), rtol=1e-12)
    assert part.environments.closest == pytest.approx(closest, rel=1e-12)


def test_names_of_the_data_are_only_text(report):
    """A group's name is neither markup nor a formula."""
    name = r'<b onclick="x">&$\frac$'
    part = replace(report.judged, results={**report.judged.results, name: report.judged.results["Al"]})
    (drawing,) = errors_by_group(part)
    text = inline(drawing)
    assert "<b" not in text and "&lt;b onclick=" in text and r"$\frac$" in text


def test_no_training_atom_is_outside(report):
    assert not (report.parts["train"].environments.severity > 0).any()


def test_worst_structures_come_first(report):
    errors = [row["forces_rmse"] for row in report.worst]
    assert errors == sorted(errors, reverse=True)
    by_origin = {s.origin: (s, p) for s, p in zip(report.judged.structures, report.judged.predictions, strict=True)}
    for row in report.worst:
        structure, predicted = by_origin[row["structure"]]
        view = row["view"]
        difference = predicted.forces.double().numpy() - structure.forces
        np.testing.assert_allclose(view["errors"], difference, atol=5e-5)
        assert int(np.linalg.norm(view["errors"], axis=1).argmax()) == row["atom"]
        np.testing.assert_allclose(np.diff(view["positions"], axis=0), np.diff(structure.positions, axis=0), atol=2e-3)
        assert len(view["cell"]) == 12, "edges of a periodic cell"


def test_principal_axes_are_numpys():
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(200, 5)) * [4.0, 2.0, 1.0, 0.5, 0.1] @ np.linalg.qr(generator.normal(size=(5, 5)))[0]
    mean, axes, shares = principal_axes(rows)
    _, values, vectors = np.linalg.svd(rows - rows.mean(axis=0))
    np.testing.assert_allclose(np.abs(axes.T @ vectors[:2].T), np.eye(2), atol=1e-12)
    np.testing.assert_allclose(shares, values[:2] ** 2 / (values**2).sum(), rtol=1e-12)
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-12)
    assert principal_axes(rows[:, :1])[1].shape == (1, 2), "a single function"


def test_small_pieces():
    assert formula(np.array([6, 1, 8, 6, 1, 1, 1, 1, 1])) == "C2H6O"
    assert formula(np.array([29, 13, 13])) == "Al2Cu"
    positions = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    assert bonds(np.array([8, 1, 1]), positions) == [[0, 1], [0, 2]]
    assert bonds(np.array([29, 29]), np.array([[0.0, 0, 0], [2.5, 0, 0]])) == [], "two metals"
    assert [number(value) for value in (0.14372, 1234.5, 0.0, 12.0)] == ["0.144", "1230", "0", "12"]
    assert (duration(5.0), duration(330), duration(36000)) == ("5 s", "5.5 min", "10.0 h")
    assert "<script>" not in table("<script>", ["<script>"], [["<script>"]])
    assert [_power(value) for value in (0.001, 1e-4, 2e-5, 10, 1e5)] == ["0.001", "10⁻⁴", "2×10⁻⁵", "10", "10⁵"]
    assert len(set(PALETTE.values())) == len(PALETTE), "a page knows a color by its value"


class Outline(HTMLParser):
    """Tags that are open, headings in their order, and identities."""

    VOID = frozenset({"meta", "link", "input", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.headings, self.identities, self.unnamed = [], [], [], []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "id" in found:
            self.identities.append(found["id"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if found.get("role") in ("img", "region") and not found.get("aria-label"):
            self.unnamed.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed(tmp_path):
    page = tmp_path / "page.html"
    assert mlip("report", alcu(), "--output", page, "--quiet").status == 0
    text = page.read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert len(outline.identities) == len(set(outline.identities)), "no two elements of one name"
    assert outline.unnamed == [], "every picture says what it shows"
    assert outline.headings[0] == 1 and outline.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(outline.headings)), "no level of headings is left out"
    assert not re.search(r'(?:src|href)="(?!#|data:)', text), "nothing is fetched"
    assert not [color for color in PALETTE.values() if color in text.partition("<body>")[2].partition("<script>")[0]]
    assert len(text.encode()) < 5e6
    assert set(
        re.findall(r"#([\w-]+)", " ".join(re.findall(r'(?:xlink:)?href="([^"]*)"|url\(([^)]*)\)', text)[0]))
    ) <= {*outline.identities}


def test_json_and_figures(tmp_path):
    run = shutil.copytree(ethanol(), tmp_path / "run")  # other tests use that one
    outcome = mlip("report", run, "--json", "--figures", tmp_path / "figures", "--format", "png", "--worst", 3)
    assert outcome.status == 0, outcome.err
    found = json.loads(outcome.out)
    assert outcome.err == ""
    assert found["page"] == str(run / "report.html") and (run / "report.html").stat().st_size == found["bytes"]
    assert len(found["worst"]) == 3 and "view" not in found["worst"][0]
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"loss.png", "parity_energy.png", "parity_forces.png", "map_H.png", "nearest_distances.png"} <= names
    assert names == {path.rpartition("/")[2] for path in found["figures"]}
    assert all((tmp_path / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_a_sample_says_so(tmp_path):
    report = make_report(ethanol(), CPU, most=5, worst=0)
    assert [len(part.structures) for part in report.parts.values()] == [5, 5, 5]
    assert report.parts["train"].total == 40
    page = tmp_path / "page.html"
    assert mlip("report", ethanol(), "--output", page, "--most", 5, "--worst", 0, "--quiet").status == 0
    assert "5 of 40 training" in page.read_text(encoding="utf-8")


def test_data_that_changed_or_left(tmp_path):
    """What needs the data is left out, the rest is shown, and a warning says why."""
    data = tmp_path / "alcu.xyz"
    shutil.copy(ALCU, data)
    assert train(tmp_path, data).status == 0
    lines = data.read_text(encoding="utf-8").replace("energy=", "energy=1", 1)
    data.write_text(lines, encoding="utf-8")
    found = json.loads(mlip("report", tmp_path / "run", "--json").out)
    assert "data changed since the run began" in found["warnings"][0]
    data.unlink()
    found = json.loads(mlip("report", tmp_path / "run", "--json").out)
    assert "cannot be read any more" in found["warnings"][0] and "alcu.xyz" in found["warnings"][0]
    assert found["worst"] == [] and found["errors"]["test"]["structures"] == 10
    (tmp_path / "run" / "results.json").unlink()
    found = json.loads(mlip("report", tmp_path / "run", "--json").out)
    assert any("not come to its end" in text for text in found["warnings"])


def test_energies_alone_and_no_other_set(tmp_path):
    """Labels and sets that are missing leave their figures out, and nothing else."""
    frames = read(ALCU, ":12")
    for frame in frames:
        frame.calc.results = {"energy": frame.calc.results["energy"]}
    write(tmp_path / "energies.xyz", frames)
    outcome = train(tmp_path, tmp_path / "energies.xyz", "data.split={valid: 0, test: 0}", "data.index=:12")
    assert outcome.status == 0, outcome.err
    report = make_report(tmp_path / "run", CPU, worst=2)
    assert set(report.parts) == {"train"} and set(report.judged.pairs) == {"energy"}
    assert [drawing.name for drawing in report.drawings["errors"]] == ["parity_energy"]
    assert any("neither a test nor a validation set" in text for text in report.warnings)
    assert all(row["view"]["errors"] is None for row in report.worst)
    outcome = mlip("report", tmp_path / "run", "--json")
    assert outcome.status == 0, outcome.err


def test_sets_that_are_missing_and_structures_that_repeat(tmp_path):
    frames = tmp_path / "twice.xyz"
    text = ALCU.read_text(encoding="utf-8").splitlines(keepends=True)
    first = "".join(text[: int(text[0]) + 2])
    frames.write_text(first * 12, encoding="utf-8")
    options = ("data.split={valid: 4}", "data.index=:12", "model.reference_energies.method=mean")
    outcome = train(tmp_path, frames, *options)
    assert outcome.status == 0, outcome.err
    warnings = json.loads(mlip("report", tmp_path / "run", "--json").out)["warnings"]
    assert any("no test set" in text for text in warnings)
    assert any("4 of 4 validation structures are also in the training set" in text for text in warnings)


def test_refusals(tmp_path):
    assert refused(mlip("report", tmp_path), "config.yaml", "mlip train")
    assert refused(mlip("report", ETHANOL), "config.yaml")
    assert refused(mlip("report", ethanol(), "--most", 0), "--most is 0")
    assert refused(
        mlip("report", ethanol(), "--output", tmp_path / "none" / "page.html"), "--output", "folder that exists"
    )
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert refused(mlip("report", ethanol(), "--figures", tmp_path / "file"), "--figures", "which is a file")
    folder = tmp_path / "run"
    shutil.copytree(ethanol(), folder)
    (folder / "results.json").write_text("[1", encoding="utf-8")
    assert refused(mlip("report", folder), "results.json", "not a JSON file")
    (folder / "results.json").unlink()
    (folder / "metrics.csv").write_text("epoch,learning_rate\nx,y\n", encoding="utf-8")
    assert refused(mlip("report", folder), "metrics.csv", "table of epochs")
    (folder / "potential.pt").unlink()
    assert refused(mlip("report", folder), "potential.pt", "--resume")


def test_commands_of_the_docs_are_understood():
    text = (DATA.parent / "docs" / "report.md").read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 4
    for command in commands:
        program, *arguments = command.split()
        assert program == "mlip"
        make_parser().parse_args(arguments)
