"""The same numbers on a CUDA device; skipped where there is none."""

from __future__ import annotations

import pytest
import torch

from mlip.batch import Collection, Properties, collate, to_batch
from mlip.descriptors.store import FeatureStore
from mlip.model.evaluate import evaluate
from physics import zoo
from physics.laws import same

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


@pytest.mark.parametrize("name", zoo.POTENTIALS)
@pytest.mark.parametrize("kept", [False, True])
def test_a_cuda_device_gives_the_numbers_of_the_cpu(name, kept):
    potential = zoo.POTENTIALS[name]()
    singles = [to_batch(structure, potential.cutoff)[0] for structure in zoo.MIXED]
    batch = collate(singles)
    expected = evaluate(potential, batch)
    device = torch.device("cuda")
    potential.to(device)
    features = (
        FeatureStore(potential.descriptor, Collection(singles), torch.float64).take(range(len(singles)))
        if kept
        else None
    )
    found = evaluate(potential, batch.to(device), features=features).to(torch.device("cpu"))
    for field, a, b in zip(Properties._fields, found, expected, strict=True):
        same(a.detach(), b.detach(), field, 1e-10)
