"""How the CPU is used."""

import torch

from mlip.device import denormals_are_zero


def test_tiny_numbers_are_zero_only_for_a_while():
    tiny = torch.tensor([1e-30]) * torch.tensor([1e-10])
    with denormals_are_zero():
        assert float(torch.tensor([1e-30]) * torch.tensor([1e-10])) == 0.0
    assert float(torch.tensor([1e-30]) * torch.tensor([1e-10])) == float(tiny) > 0
