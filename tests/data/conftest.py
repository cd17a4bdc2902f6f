from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def shared():
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing; it holds the real data this test reads")
    return folder


@pytest.fixture
def bundled():
    return REPOSITORY / "data"


@pytest.fixture
def water():
    """Five geometries of water: z, R, E, F in no unit in particular."""
    generator = np.random.default_rng(3)
    place = np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
    return {
        "z": np.array([8, 1, 1], dtype=np.uint8),
        "R": place + 0.05 * generator.standard_normal((5, 3, 3)),
        "E": -76.4 + 0.01 * generator.standard_normal(5),
        "F": generator.standard_normal((5, 3, 3)),
    }
