import numpy as np
import pytest
import torch
from physics import zoo

from mlip.batch import Properties, collate, to_batch
from mlip.training.metrics import Errors, table

STRUCTURES = zoo.MIXED
ATOMS = np.array([len(s) for s in STRUCTURES])


@pytest.fixture
def batch():
    return collate([to_batch(structure, 3.0)[0] for structure in STRUCTURES])


def random_properties(seed):
    generator = np.random.default_rng(seed)
    shapes = [(len(ATOMS),), (ATOMS.sum(), 3), (len(ATOMS), 3, 3)]
    return Properties(*(torch.from_numpy(generator.normal(size=shape)) for shape in shapes))


def errors_by_numpy(predicted, labels):
    differences = {
        ("energy", ""): (predicted.energy - labels.energy).numpy(),
        ("energy", "_per_atom"): (predicted.energy - labels.energy).numpy() / ATOMS,
        ("forces", ""): (predicted.forces - labels.forces).numpy(),
        ("stress", ""): (predicted.stress - labels.stress).numpy(),
    }
    expected = {}
    for (kind, suffix), difference in differences.items():
        expected[f"{kind}_mae{suffix}"] = np.nanmean(np.abs(difference))
        expected[f"{kind}_rmse{suffix}"] = np.sqrt(np.nanmean(difference**2))
    return expected


def test_errors_are_those_of_numpy(batch):
    predicted, labels = random_properties(0), random_properties(1)
    labels.energy[2] = torch.nan
    labels.forces[3:7] = torch.nan
    labels.stress[:5] = torch.nan
    errors = Errors()
    errors.add(predicted, labels, batch)
    assert errors.results() == pytest.approx(
        {"structures": len(ATOMS), **errors_by_numpy(predicted, labels)}, rel=1e-12
    )


def test_batches_add_up(batch):
    predicted, labels = random_properties(0), random_properties(1)
    whole, parts = Errors(), Errors()
    whole.add(predicted, labels, batch)
    ends = np.cumsum(ATOMS)
    for n, structure in enumerate(STRUCTURES):
        atoms = slice(ends[n] - ATOMS[n], ends[n])
        one = [Properties(p.energy[n : n + 1], p.forces[atoms], p.stress[n : n + 1]) for p in (predicted, labels)]
        parts.add(*one, to_batch(structure, 3.0)[0])
    assert parts.results() == pytest.approx(whole.results(), rel=1e-12)


def test_nothing_is_reported_of_what_has_no_labels(batch):
    predicted, labels = random_properties(0), random_properties(1)
    errors = Errors()
    errors.add(Properties(predicted.energy), labels._replace(stress=None), batch)
    assert set(errors.results()) == {
        "structures", "energy_mae", "energy_rmse", "energy_mae_per_atom", "energy_rmse_per_atom",
    }  # fmt: skip
    assert Errors().results() == {"structures": 0}


def test_predictions_that_are_not_numbers_are_not_hidden(batch):
    """A potential that has blown up must not look as if it had been right."""
    predicted, labels = random_properties(0), random_properties(1)
    predicted.energy[0] = torch.nan
    predicted.forces[0, 0] = torch.inf
    errors = Errors()
    errors.add(predicted, labels, batch)
    results = errors.results()
    assert not np.isfinite(results["energy_mae"]) and not np.isfinite(results["forces_rmse"])


def test_table():
    full = {
        "structures": 12, "energy_mae": 0.0123, "energy_rmse": 0.02, "energy_mae_per_atom": 0.001,
        "energy_rmse_per_atom": 0.002, "forces_mae": 0.25, "forces_rmse": 0.5,
    }  # fmt: skip
    bare = {"structures": 3, "forces_mae": 0.0456, "forces_rmse": 0.1}
    lines = table({"train": full, "test": bare}).splitlines()
    assert lines[0].split("  ")[0].strip() == "MAE / RMSE"
    assert "energy (meV/atom)" in lines[0] and "forces (meV/Å)" in lines[0] and "stress" not in lines[0]
    assert lines[2].split() == ["train", "12", "12.30", "/", "20.00", "1.00", "/", "2.00", "250", "/", "500"]
    assert lines[3].split() == ["test", "3", "-", "-", "45.60", "/", "100"]
    assert len({len(line) for line in lines}) == 1
