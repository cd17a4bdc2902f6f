"""Compiling a kernel, and where the result is kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

# Sums may be taken in another order, which vectorizes them; numbers that are not finite keep their meaning.
_FAST = {"reassoc", "nsz", "contract", "arcp"}


def kernel(function: Callable[..., Any] | None = None, *, inline: str = "never", fast: bool = True) -> Any:
    """Compile a function with numba when it is first called, and keep the machine code in the user's cache folder.

    The folder has the hash of all kernel sources in its name, so an update can never run an old kernel.
    """
    if function is None:
        return lambda f: kernel(f, inline=inline, fast=fast)
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": _FAST if fast else False, "nogil": True}
    settings: Any = numba.config
    compiler: Any = numba.njit
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(cache_folder())
    try:
        return compiler(inline=inline, cache=True, **options)(function)
    except RuntimeError:  # no folder that can be written to
        return compiler(inline=inline, **options)(function)
    finally:
        settings.CACHE_DIR = before


def cache_folder() -> Path:
    """Folder of this version's machine code."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return home / "mlip" / f"kernels-{digest.hexdigest()[:16]}"


def is_compiled() -> bool:
    """Whether an earlier process has compiled the kernels."""
    return any(cache_folder().rglob("*.nbi"))
