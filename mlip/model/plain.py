"""Files of torch that hold nothing but plain values and tensors: looked through before they are loaded."""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path
from typing import Any

from torch import Tensor

# What a saved dictionary of values and tensors needs; any other name stands for code.
NAMES = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch Size"}
STORAGES = {
    "torch " + kind + "Storage"
    for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
}
CALLS = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}


def require_plain(path: Path) -> None:
    """See that a file is a whole zip of torch, uncompressed as torch writes it, whose pickle names no code.

    `torch.load` refuses code as well; this also keeps out the few names it lets pass that make room for anything.

    Raises:
        ValueError: it is not, with the name of what stands in it.
        zipfile.BadZipFile: it is no zip file, or damaged.
    """
    with zipfile.ZipFile(path) as archive:
        size = path.stat().st_size
        packed = [item.filename for item in archive.infolist() if item.compress_type != zipfile.ZIP_STORED]
        if packed or sum(item.file_size for item in archive.infolist()) > size:
            raise ValueError(f"{packed[0]} in it is compressed" if packed else "its parts are larger than the file")
        if name := archive.testzip():  # torch does not look at the checksums that it writes
            raise zipfile.BadZipFile(f"wrong checksum of {name}")
        for name in archive.namelist():
            if name.endswith(".pkl"):
                _require_plain_pickle(archive.read(name))


def require_real(content: Any) -> None:
    """See that each tensor is as large as what the file holds for it, and not one number that stands for many.

    Raises:
        ValueError: one is not.
    """
    left, seen = [content], set()
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            if value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise ValueError(f"a tensor of shape {tuple(value.shape)} has fewer numbers in the file")
        elif isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list | tuple):
            left += value


def _require_plain_pickle(content: bytes) -> None:
    for code, argument, _ in pickletools.genops(content):
        if code.name in CALLS or (code.name == "GLOBAL" and argument not in NAMES | STORAGES):
            raise ValueError(f"it would run code: {argument or code.name}")
