"""Adam in a basis that follows the curvature: Shampoo's eigenbasis of each weight matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

EMPTY = 1e-13  # of the largest eigenvalue, is zero


class SOAP(Optimizer):
    r"""Adam on gradients that are rotated into the eigenbasis of Shampoo's preconditioner.

    For a matrix W (out,in) with gradient G, averages :math:`L = \langle G G^T\rangle`, :math:`R = \langle G^T G\rangle`
    (decay `basis_beta`) and their eigenvectors :math:`Q_L, Q_R`:

    .. math:: G' = Q_L^T G\, Q_R, \qquad W \leftarrow W - \eta\, Q_L\, \mathrm{Adam}(G')\, Q_R^T

    The eigenvectors are renewed every `basis_every` steps by one step of the power iteration and a QR decomposition.
    Biases, and sides of a matrix longer than `longest`, are not rotated. `weights` is one vector that holds everything;
    `matrices` are views of it, (B,out,in) for B matrices of a shape. Where K members of a committee have B/K of these,
    and all the same inputs (`sharing` holds K, else 1), they share R and its eigenvectors, which would take most of the
    time; they give their gradients to R in turn, one in each step. `weights` may be those of only some `members`; then
    `of_member` must get the gradients of the others from where they are.

    Source: Vyas et al., arXiv:2409.11321 (2024), algorithm 3; the moments are kept in the rotated basis.
    """

    def __init__(
        self,
        weights: nn.Parameter,
        matrices: Sequence[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        basis_beta: float = 0.95,
        basis_every: int = 10,
        longest: int = 1024,
        sharing: Sequence[int] | None = None,
        members: int = 1,
    ) -> None:
        numbers = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "basis_beta": basis_beta}
        super().__init__([weights], {"lr": lr, **numbers, "basis_every": basis_every, "longest": longest})
        self._take(matrices)
        self._sharing = list(sharing or [1] * len(matrices))
        self._members = members
        self.of_member = _of_member

    def _take(self, matrices: Sequence[Tensor]) -> None:
        """Turn these matrices; the rest of the weights makes steps of Adam."""
        self._places = [(m.storage_offset(), m.shape, m.stride()) for m in matrices]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step along the gradients that the weights hold, or that `closure` leaves there."""
        if closure is not None:
            torch.enable_grad()(closure)()
        (group,) = self.param_groups
        (weights,) = group["params"]
        state = self.state[weights]
        if not state:
            self._begin(state, weights.grad, group)
            return  # the first gradient only gives the basis, as in the paper's program
        state["step"] += 1
        rotated = self._turned(weights.grad, state["bases"], forwards=True)
        beta1, beta2 = group["betas"]
        state["mean"].lerp_(rotated, 1 - beta1)
        state["square"].lerp_(rotated.square_(), 1 - beta2)
        correction = (1 - beta2 ** state["step"]) ** 0.5
        change = state["mean"] / state["square"].sqrt().div_(correction).add_(group["eps"])
        if group["weight_decay"]:
            weights.mul_(1 - group["lr"] * group["weight_decay"])
        rate = group["lr"] / (1 - beta1 ** state["step"])
        self._change(weights, self._turned(change, state["bases"], forwards=False), rate)
        self._follow(state, weights.grad, group)

    def _change(self, weights: nn.Parameter, change: Tensor, rate: float) -> None:
        weights.sub_(change, alpha=rate)

    def work(self, rows: int, columns: int) -> float:
        """Multiplications for a matrix in a step, about: three products for each side, and its share of a QR."""
        (group,) = self.param_groups
        sides = [n for n in (rows, columns) if 1 < n <= group["longest"]]
        return rows * columns + sum(3.0 * rows * columns * n + 4.0 * n**3 / group["basis_every"] for n in sides)

    def _begin(self, state: dict[str, Any], gradient: Tensor, group: dict[str, Any]) -> None:
        state["step"] = 0
        state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
        state["curvatures"] = [
            [
                torch.zeros(count, n, n).to(gradient) if 1 < n <= group["longest"] else None
                for count, n in zip((shape[0], shape[0] // own), shape[1:], strict=True)
            ]
            for (_, shape, _), own in zip(self._places, self._own_sharing(), strict=True)
        ]
        self._add_curvature(state, gradient, 1 - group["basis_beta"])
        state["bases"] = [
            [None if side is None else _eigenvectors(side) for side in sides] for sides in state["curvatures"]
        ]

    def _follow(self, state: dict[str, Any], gradient: Tensor, group: dict[str, Any]) -> None:
        """Take the gradient into the curvatures and now and then renew the bases, turning the moments along."""
        self._add_curvature(state, gradient, 1 - group["basis_beta"])
        if state["step"] % group["basis_every"]:
            return
        mean = self._turned(state["mean"], state["bases"], forwards=False)
        for sides, bases, square in zip(
            state["curvatures"], state["bases"], self._matrices(state["square"]), strict=True
        ):
            for axis, (curvature, basis) in enumerate(zip(sides, bases, strict=True)):
                if curvature is None:
                    continue
                moved = curvature @ basis
                order = torch.argsort((basis * moved).sum(dim=-2), dim=-1, descending=True)
                columns = order[:, None, :].expand_as(moved)
                turned, rest = torch.linalg.qr(moved.gather(-1, columns))
                bases[axis] = _settled(turned, rest.diagonal(dim1=-2, dim2=-1).abs())
                if axis == 1:
                    order = order.repeat(len(square) // len(order), 1)
                rows = order[:, :, None] if axis == 0 else order[:, None, :]
                square.copy_(square.gather(1 + axis, rows.expand_as(square)))
        state["mean"] = self._turned(mean, state["bases"], forwards=True)

    def _add_curvature(self, state: dict[str, Any], gradient: Tensor, share: float) -> None:
        for (left, right), g, members in zip(state["curvatures"], self._matrices(gradient), self._sharing, strict=True):
            if left is not None:
                left.lerp_(g @ g.mT, share)
            if right is not None:
                one = self.of_member(g, state["step"] % members, len(right)) if members > 1 else g
                right.lerp_(one.mT @ one, share)

    def _own_sharing(self) -> list[int]:
        return [self._members if members > 1 else 1 for members in self._sharing]

    def _turned(self, vector: Tensor, bases: Sequence[Sequence[Tensor | None]], forwards: bool) -> Tensor:
        """The vector with each matrix in its basis, or back from there."""
        result = vector.clone()
        for (left, right), matrix, target in zip(bases, self._matrices(vector), self._matrices(result), strict=True):
            if left is not None:
                matrix = (left.mT if forwards else left) @ matrix
            if right is not None:
                matrix = _times(matrix, right if forwards else right.mT)
            target.copy_(matrix)
        return result

    def _matrices(self, vector: Tensor) -> Iterable[Tensor]:
        return [torch.as_strided(vector, shape, stride, offset) for offset, shape, stride in self._places]


def _of_member(matrices: Float[Tensor, "B n m"], member: int, count: int) -> Float[Tensor, "c n m"]:
    """The matrices of one member, of which each has so many."""
    return matrices[member * count : (member + 1) * count]


def _eigenvectors(curvatures: Float[Tensor, "B n n"]) -> Float[Tensor, "B n n"]:
    """Those of the largest eigenvalues first."""
    values, vectors = torch.linalg.eigh(curvatures)
    return _settled(vectors.flip(-1), values.flip(-1))


def _settled(bases: Float[Tensor, "B n n"], values: Float[Tensor, "B n"]) -> Float[Tensor, "B n n"]:
    r"""The same with eigenvectors of zero eigenvalues that do not depend on rounding; `values` fall,
    about.

    The first curvatures are those of few gradients, whose many zeros have any vectors :math:`V_0` of a space as
    eigenvectors. A sum in another order, over ranks or threads, would choose others and train another potential. So
    they become those of :math:`V_0^T D V_0` with a fixed diagonal D. Only in float64: float32 does not tell zeros.
    """
    if torch.finfo(bases.dtype).eps > EMPTY:
        return bases
    empty = values <= EMPTY * values.amax(dim=-1, keepdim=True)
    empty = empty.flip(-1).cumprod(-1).flip(-1).bool()  # the last ones
    size = values.shape[-1]
    diagonal = torch.linspace(1.0, 2.0, size, dtype=bases.dtype, device=bases.device)
    inner = (bases.mT * diagonal) @ bases * (empty[:, :, None] & empty[:, None, :])
    others = torch.arange(-size, 0, dtype=bases.dtype, device=bases.device)  # keeps them in their places
    return bases @ torch.linalg.eigh(inner + torch.diag_embed(torch.where(empty, 0.0, others)))[1]


def _times(matrices: Tensor, shared: Tensor) -> Tensor:
    """Products of B matrices with B/K that K members share, as one product of all their rows."""
    count, rows, columns = matrices.shape
    if count == len(shared):
        return matrices @ shared
    members = count // len(shared)
    stacked = matrices.view(members, len(shared), rows, columns).transpose(0, 1).reshape(len(shared), -1, columns)
    return (stacked @ shared).view(len(shared), members, rows, columns).transpose(0, 1).reshape(count, rows, columns)
