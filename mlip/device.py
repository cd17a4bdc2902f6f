"""Which device a name means."""

from __future__ import annotations

import re

import torch


def device_of(name: str) -> torch.device:
    """The device by name; "auto" is the GPU if there is one.

    Raises:
        ValueError: the name is not a device's, or there is no GPU of that number.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError(f"device is '{name}'; expected auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device is {name}; torch sees {torch.cuda.device_count()} CUDA devices. Use auto or cpu")
    return device
