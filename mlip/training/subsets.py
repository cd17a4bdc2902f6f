"""Which training structures each member of a committee learns from."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def structure_weights(method: str, members: int, structures: int, seed: int) -> Float[Tensor, "K S"] | None:
    r"""How much each structure counts in the loss of each of K members; None if all count the same.

    - "all": every member sees everything; only the random weights they start from differ
    - "bootstrap": how often a structure is among as many drawn with replacement (Efron, Ann. Statist. 7, 1 (1979))
    - "kfold": the structures are divided into K parts at random; member m does not see part m

    The mean of each member's weights is 1, so that its loss has the size of that over all structures.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003)  # no epoch has this order
    if method == "all" or members == 1 or structures == 0:
        return None
    if method == "bootstrap":
        drawn = torch.randint(structures, (members, structures), generator=generator)
        weights = torch.stack([torch.bincount(row, minlength=structures) for row in drawn]).double()
    else:
        part = torch.empty(structures, dtype=torch.int64)
        part[torch.randperm(structures, generator=generator)] = torch.arange(structures) % members
        weights = (part != torch.arange(members)[:, None]).double()
    return weights / weights.mean(dim=1, keepdim=True)
