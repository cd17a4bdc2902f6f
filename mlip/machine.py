"""Which machine this process is on."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path


def machine() -> tuple[str, ...]:
    """What processes have in common that see each other, the same devices and memory: host, its start, container.

    The name of the host alone where the system tells no more.
    """
    found = [platform.node()]
    with suppress(OSError):  # not Linux
        found += [Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()]
        found += [str(Path("/proc/self/ns/pid").readlink())]
    return tuple(found)
