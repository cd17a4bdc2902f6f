"""Errors against standard deviations: the factor, the shares, the miscalibration, and the figure of them."""

import csv
import math
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from mlip.batch import Properties
from mlip.model.committee import Spread
from mlip.training.calibration import BINS, write_calibration
from mlip.training.reliability import Reliability


def filled(factor, atoms=4000, structures=2000, seed=0):
    """Normal errors whose size is `factor` times what the committee says."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    deviations = Spread(normal(structures).exp(), normal(atoms, 3).exp(), normal(atoms).exp())
    labels = Properties(normal(structures), normal(atoms, 3))
    predicted = Properties(
        labels.energy + factor * deviations.energy * normal(structures),
        labels.forces + factor * deviations.forces * normal(atoms, 3),
    )
    labels.energy[0], labels.forces[1, 2] = math.nan, math.nan
    found = Reliability()
    half = structures // 2
    found.add(
        Properties(predicted.energy[:half], predicted.forces[:half]),
        Spread(*(field[:half] for field in deviations)),
        Properties(labels.energy[:half], labels.forces[:half]),
    )
    found.add(
        Properties(predicted.energy[half:], predicted.forces[half:]),
        Spread(*(field[half:] for field in deviations)),
        Properties(labels.energy[half:], labels.forces[half:]),
    )
    return found


@pytest.mark.parametrize("factor", [0.3, 1.0, 5.0])
def test_the_factor_is_found(factor):
    factors = filled(factor).factors()
    assert factors.energy == pytest.approx(factor, rel=0.05)
    assert factors.forces == pytest.approx(factor, rel=0.03)


def test_perfect_deviations():
    results = filled(1.0).results()
    for kind in ("energy", "forces"):
        assert results[f"{kind}_within_1_std"] == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.03)
        assert results[f"{kind}_within_2_std"] == pytest.approx(math.erf(math.sqrt(2)), abs=0.02)
        assert results[f"{kind}_miscalibration"] < 0.02
    assert results["energy_std_mean"] == pytest.approx(math.exp(0.5), rel=0.1)


def test_miscalibration_is_the_area_by_hand():
    """Deviations that are far too large hold every error in the smallest interval: half of the square is wrong."""
    for factor, expected in ((1e-9, 0.5), (1e9, 0.5)):
        assert filled(factor).results()["forces_miscalibration"] == pytest.approx(expected, abs=1e-3)
    found = filled(3.0)
    errors, deviations = found.of("forces")
    expected = torch.erf(errors / deviations / math.sqrt(2))
    grid = torch.linspace(0, 1, 20001, dtype=torch.float64)
    observed = torch.searchsorted(expected.sort().values, grid, right=True) / len(expected)
    area = torch.trapezoid((observed - grid).abs(), grid)
    assert found.results()["forces_miscalibration"] == pytest.approx(float(area), abs=1e-4)


def test_members_that_agree_and_data_without_labels():
    found = Reliability()
    zeros = Spread(torch.zeros(2, dtype=torch.float64), torch.zeros(3, 3), torch.zeros(3, dtype=torch.float64))
    labels = Properties(torch.tensor([math.nan, math.nan], dtype=torch.float64), torch.zeros(3, 3))
    found.add(Properties(torch.zeros(2, dtype=torch.float64), torch.zeros(3, 3)), zeros, labels)
    assert found.factors() == (1.0, 1.0)
    assert not any(name.startswith("energy") for name in found.results())
    assert found.results()["forces_within_1_std"] == 1.0, "no error, no deviation"


def test_figure_and_its_numbers(tmp_path):
    parts = {"valid": filled(1.0), "test": filled(2.0, seed=1), "train": Reliability()}
    write_calibration(tmp_path, parts)
    with (tmp_path / "calibration.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * BINS
    for row in rows:
        expected = 1.0 if row["part"] == "valid" else 2.0
        assert float(row["error"]) / float(row["std"]) == pytest.approx(expected, rel=0.3)
    assert sum(int(row["predictions"]) for row in rows if (row["part"], row["kind"]) == ("test", "forces")) == 11999
    root = ElementTree.parse(tmp_path / "calibration.svg").getroot()
    circles = [node for node in root if node.tag.endswith("circle")]
    assert len(circles) == len(rows)
    assert all(0 < float(c.get("cx")) < 820 and 0 < float(c.get("cy")) < 440 for c in circles)
    texts = [node.text for node in root if node.tag.endswith("text")]
    assert texts.count("valid") == 2 and texts.count("train") == 0
