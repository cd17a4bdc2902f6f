"""Compiling a kernel, and where the result is kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

# Sums may be taken in another order, which vectorizes them; numbers that are not finite keep their meaning.
_FAST = {"reassoc", "nsz", "contract", "arcp"}


def kernel(
    function: Callable[..., Any] | None = None, *, inline: str = "never", fast: bool = True, allocates: bool = False
) -> Any:
    """Compile a function with numba when it is first called, and keep the machine code in the user's cache folder.

    The folder has the hash of all kernel sources in its name, so an update can never run an old kernel. A kernel that
    does not allocate arrays counts no references to them, which takes longer than small kernels do; it must not be
    called from Python and return an array.
    """
    if function is None:
        return lambda f: kernel(f, inline=inline, fast=fast, allocates=allocates)
    _take_whole_registers()
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": _FAST if fast else False, "nogil": True}
    settings: Any = numba.config
    compiler: Any = numba.njit
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(cache_folder())
    try:
        return compiler(inline=inline, cache=True, _nrt=allocates, **options)(function)
    except RuntimeError:  # no folder that can be written to
        return compiler(inline=inline, _nrt=allocates, **options)(function)
    finally:
        settings.CACHE_DIR = before


@intrinsic
def disjoint(typingctx):
    """Promise that no two arrays that the kernel is given overlap; without it loops over several do not vectorize."""

    def codegen(context, builder, signature, arguments):
        for argument in builder.function.args:  # .4 is the data pointer of an array
            if isinstance(argument.type, ir.PointerType) and argument.name.endswith(".4"):
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.none(), codegen


@cache
def _take_whole_registers() -> None:
    """Let vectors have 512 bits on a CPU with such registers; LLVM by itself uses half of them on many.

    Nothing changes where the features were given (NUMBA_CPU_FEATURES) or where something was compiled before.
    """
    features: Any = binding.get_host_cpu_features()
    settings: Any = numba.config
    if settings.CPU_FEATURES is None and features.get("avx512f"):
        settings.CPU_FEATURES = features.flatten() + ",-prefer-256-bit"
        try:
            cpu_target.target_context  # noqa: B018 (made now, with these features)
        finally:
            settings.CPU_FEATURES = None


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
