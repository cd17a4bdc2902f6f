"""The descriptor as one differentiable operation on pair vectors: three products with one meaning.

With the Jacobian :math:`J = \\partial G / \\partial \\mathbf r` at given pair vectors:

- features :math:`G`, (N,D)
- `pair_gradients`: :math:`J^T g`, what a gradient by the features is by each pair vector, (P,3)
- `feature_changes`: :math:`J v`, what a change of the pair vectors does to the features, (N,D)

Positions are never trained, so a loss on forces needs no second derivative of the descriptor: forces come from
:math:`J^T g`, which is linear in g, and its derivative by g is :math:`J v`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Products(Protocol):
    """Features at given pair vectors, and the two products with their Jacobian."""

    features: Tensor  # (N,D)

    def pair_gradients(self, feature_gradients: Float[Tensor, "N D"]) -> Float[Tensor, "P 3"]:
        """The product with the transposed Jacobian."""

    def feature_changes(self, pair_changes: Float[Tensor, "P 3"]) -> Float[Tensor, "N D"]:
        """The product with the Jacobian."""


def of_each(product: Callable[[Tensor], Tensor], vectors: Float[Tensor, "K *a"]) -> Float[Tensor, "K *b"]:
    """A product, or whatever has a tensor for a tensor, of each of K vectors."""
    return torch.stack([product(vector) for vector in vectors])


def differentiable(products: Products, vectors: Float[Tensor, "P 3"]) -> Float[Tensor, "N D"]:
    """The features as a function of the pair vectors; their gradient can be differentiated by what it is given."""
    features: Tensor = _Features.apply(vectors, products)
    return features


class ReferenceProducts:
    """The products of features that automatic differentiation knows, by differentiating."""

    def __init__(self, features: Callable[[Tensor], Tensor], vectors: Float[Tensor, "P 3"]) -> None:
        with torch.enable_grad():
            self._vectors = vectors.detach().requires_grad_()
            self._features = features(self._vectors)
            self._weights = torch.zeros_like(self._features).requires_grad_()
            # The transposed product is linear in its weights, so its derivative by them is the product itself.
            (self._transposed,) = torch.autograd.grad(
                self._features, self._vectors, self._weights, create_graph=True, materialize_grads=True
            )
        self.features = self._features.detach()

    def pair_gradients(self, feature_gradients: Float[Tensor, "N D"]) -> Float[Tensor, "P 3"]:
        """The product with the transposed Jacobian."""
        return self._derivative(self._features, self._vectors, feature_gradients)

    def feature_changes(self, pair_changes: Float[Tensor, "P 3"]) -> Float[Tensor, "N D"]:
        """The product with the Jacobian."""
        return self._derivative(self._transposed, self._weights, pair_changes)

    @staticmethod
    def _derivative(of: Tensor, by: Tensor, weights: Tensor) -> Tensor:
        (result,) = torch.autograd.grad(of, by, weights, retain_graph=True, materialize_grads=True)
        return result


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, products: Products) -> Tensor:
        ctx.products = products
        return products.features

    @staticmethod
    def backward(ctx: Any, feature_gradients: Tensor) -> tuple[Tensor, None]:
        return _Product.apply(feature_gradients, ctx.products, True), None


class _Product(torch.autograd.Function):
    """Multiplication with the Jacobian, or with its transpose; each is the other's derivative."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, products: Products, transposed: bool) -> Tensor:
        ctx.products, ctx.transposed = products, transposed
        return products.pair_gradients(given) if transposed else products.feature_changes(given)

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(gradients, ctx.products, not ctx.transposed), None, None
