"""Where features are kept, decided from plain numbers."""

import pytest
import torch
from interfaces.command import refused
from interfaces.trained import ETHANOL, train

from mlip import featurization
from mlip.featurization import place_of

GB = 1e9


@pytest.mark.parametrize(
    ("cache", "size", "expected"),
    [
        ("auto", 3.9, "memory"), ("auto", 4.1, "off"), ("memory", 400.0, "memory"), ("disk", 400.0, "disk"),
        ("off", 0.1, "off"),
    ],
)  # fmt: skip
def test_on_a_cpu(cache, size, expected):
    assert place_of(cache, size * GB, 4 * GB, None, 0.01) == expected


@pytest.mark.parametrize(
    ("cache", "size", "free", "total", "batch", "expected"),
    [
        ("auto", 60, 79, 80, 0.0, "device"),  # whatever the host's limit
        ("auto", 71, 79, 80, 0.0, "device"),
        ("auto", 71.1, 79, 80, 0.0, "off"),  # a tenth is left free
        ("auto", 3, 10, 80, 0.0, "host"),  # another program is there
        ("auto", 6.9, 8, 8, 0.0, "device"),
        ("auto", 7.1, 8, 8, 0.0, "off"),  # at least 1 GB is left free
        ("auto", 3.0, 8, 8, 1.0, "off"),  # steps of all structures hold the rows three times, and four
        ("auto", 2.3, 8, 8, 1.0, "device"),
        ("auto", 3.9, 4, 8, 0.01, "host"),
        ("auto", 3.9, 0.5, 8, 0.01, "off"),  # no room for a batch either
        ("memory", 400, 79, 80, 0.0, "host"),
        ("memory", 40, 79, 80, 0.0, "device"),
        ("off", 1, 79, 80, 0.0, "off"),
    ],
)
def test_on_a_gpu(cache, size, free, total, batch, expected):
    assert place_of(cache, size * GB, 4 * GB, (free * GB, total * GB), batch) == expected


@pytest.mark.parametrize("size", [0.5, 1.5, 3.5, 30.0])
def test_more_memory_never_moves_features_away_from_the_device(size):
    order = {"off": 0, "host": 1, "device": 2}
    places = [place_of("auto", size * GB, 4 * GB, (free * GB, 80 * GB), 0.05) for free in range(1, 80)]
    ranks = [order[place] for place in places]
    assert ranks == sorted(ranks)
    assert places[0] == "off" and places[-1] == "device"


def test_features_on_the_host_train_the_same_potential(tmp_path, monkeypatch):
    """The host's store where the device is a CPU has the same rows, so the same bits."""
    rows = []
    for place in ("memory", "host"):
        monkeypatch.setattr(featurization, "place_of", lambda *numbers, place=place: place)
        folder = tmp_path / place
        folder.mkdir()
        assert train(folder, ETHANOL, "training.epochs=2").status == 0
        lines = (folder / "run" / "metrics.csv").read_text(encoding="utf-8").splitlines()
        rows.append([line.rsplit(",", 1)[0] for line in lines])
    assert rows[0] == rows[1]


def test_a_gpu_must_have_deterministic_products(tmp_path, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    outcome = train(tmp_path, ETHANOL, "run.deterministic=true", "run.device=cuda:0")
    assert refused(outcome, "run.deterministic is true", "export CUBLAS_WORKSPACE_CONFIG=:4096:8")
    assert not (tmp_path / "run").exists()
