"""What is computed by compiled code (CPU: numba): symmetry functions, and networks and forces for dynamics.

`product` says what a kernel makes: FEATURES G (N,D), GRADIENTS J^T g (P,3) from g (N,D), CHANGES J v (N,D) from v
(P,3), or the JACOBIAN itself (3P,D), rows 3p to 3p+2 those of pair p; all are added to `result`. Each center writes
only its own features and its own pairs, so any split of the centers over threads gives the same numbers. Results
have the precision of the arithmetic, float64 or float32; vectors are always float64.
"""

from __future__ import annotations

import importlib.util
from functools import cache


@cache
def has_kernels() -> bool:
    """Whether numba is there to compile the CPU kernels."""
    return importlib.util.find_spec("numba") is not None
