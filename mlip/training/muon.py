"""Momentum whose every singular value is made one: steepest descent in the spectral norm of each weight matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

ITERATION = (3.4445, -4.7750, 2.0315)  # a, b, c of Jordan: singular values between 0.7 and 1.2 after five turns
TURNS = 5


class Muon(Optimizer):
    r"""Momentum with orthogonal steps for the matrices of hidden layers, Adam for biases and the last layer.

    With the average M of a matrix's gradient G (decay :math:`\mu`) and its singular value decomposition
    :math:`(1 - \mu) G + \mu M = U S V^T` (Nesterov's form):

    .. math:: W \leftarrow W - 0.2 \sqrt{\max(n_{out}, n_{in})}\; \eta\, U V^T

    so that a step has the size, root mean square over its elements, of one of Adam, and both share the rate
    :math:`\eta`. `weights` is one vector that holds everything; `matrices` are views of it, (B,out,in) for B matrices
    of a shape.

    Source: Jordan et al., kellerjordan.github.io/posts/muon (2024); size of the step: Liu et al., arXiv:2502.16982
    (2025), eq. 4.
    """

    def __init__(
        self,
        weights: nn.Parameter,
        matrices: Sequence[Tensor],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            [weights], {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )
        self._places = [(m.storage_offset(), m.shape, m.stride()) for m in matrices if m.shape[1] > 1]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step along the gradients that the weights hold, or that `closure` leaves there."""
        if closure is not None:
            torch.enable_grad()(closure)()
        (group,) = self.param_groups
        (weights,) = group["params"]
        state = self.state[weights]
        if not state:
            state["step"] = 0
            state |= {name: torch.zeros_like(weights.grad) for name in ("momentum", "mean", "square")}
        state["step"] += 1
        gradient = weights.grad
        beta1, beta2 = group["betas"]
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].lerp_(gradient.square(), 1 - beta2)
        root = (state["square"] / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        change = (state["mean"] / (1 - beta1 ** state["step"])).div_(root)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        along = gradient.lerp(state["momentum"], group["momentum"])
        for place in self._places:
            matrix, target = _matrix(along, place), _matrix(change, place)
            target.copy_(orthogonal(matrix)).mul_(0.2 * max(matrix.shape[1:]) ** 0.5)
        weights.mul_(1 - group["lr"] * group["weight_decay"]).sub_(change, alpha=group["lr"])


def orthogonal(matrices: Float[Tensor, "B out in"]) -> Float[Tensor, "B out in"]:
    r"""About :math:`U V^T` of each matrix :math:`U S V^T`, by five turns of a Newton-Schulz iteration.

    .. math:: X \leftarrow a X + b\, X X^T X + c\, (X X^T)^2 X, \qquad X_0 = M / |M|

    Source: Jordan et al. (2024), as above. PyTorch has the same for one matrix, in bfloat16.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-30)
    a, b, c = ITERATION
    for _ in range(TURNS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


def _matrix(vector: Tensor, place: Any) -> Tensor:
    offset, shape, stride = place
    return torch.as_strided(vector, shape, stride, offset)
