"""Atomic energies as sums of kernels between an atom's environment and known ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mlip.model.atomic import AtomicModel
from mlip.model.coordinates import Coordinates, from_sphere, half_squares
from mlip.model.covariance import Covariance, covariance_from

ENTRIES = 4_000_000  # kernels held at once


class Posterior(NamedTuple):
    r"""What the variance of a prediction needs: M inducing environments and two triangular factors.

    .. math:: \operatorname{var} E = s^2 \left( k_{**} - \lVert L^{-1} \varphi \rVert^2
              + \lVert R^{-T} \varphi \rVert^2 \right), \qquad L L^T = K_{MM}, \quad
              R^T R = K_{MM} + K_{MN} \Lambda^{-1} K_{NM}

    with the kernels :math:`\varphi` between the structure and the environments, and the signal s (eV).

    Source: Quiñonero-Candela, Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005), eq. 20b (projected process).
    """

    points: list[Tensor]  # (M_e, C_e) for each element
    prior: Tensor  # (M,M), L
    posterior: Tensor  # (M,M), R
    signal: Tensor  # s, eV


class AtomicKernels(AtomicModel):
    r"""Sums of kernels, and of their derivatives, between an atom and known environments of its element.

    .. math:: f_e(x) = \sum_m \left[ w_m\, k(u(x), u_m) + v_m \cdot \nabla_{u_m} k(u(x), u_m) \right], \qquad
              u(x) = W_e^T x

    with scaled features x, a matrix :math:`W_e` (D,C) that holds length scales, and for each environment a point
    :math:`u_m` (C), a weight w (eV) and a slope v (C; eV). Without slopes the environments are inducing ones of a
    sparse Gaussian process; with slopes they are all atoms of the training structures, and the derivatives are what
    forces are made of.

    Source: Bartók, Payne, Kondor, Csányi, Phys. Rev. Lett. 104, 136403 (2010); with slopes Christensen et al., J. Chem.
    Phys. 152, 044107 (2020), eqs. 8-10; Chmiela et al., Sci. Adv. 3, e1603015 (2017).
    """

    fused = False
    most_deviating = 256  # the memory for variances of all forces grows with the cube of the atoms

    def __init__(
        self,
        covariance: Covariance,
        projections: Sequence[Float[Tensor, "D _"]],
        points: Sequence[Float[Tensor, "_ _"]],
        weights: Sequence[Float[Tensor, "_"]],
        slopes: Sequence[Float[Tensor, "_ _"]] | None = None,
        posterior: Posterior | None = None,
    ) -> None:
        super().__init__()
        self.covariance = covariance
        self.projections, self.points, self.weights = map(_tables, (projections, points, weights))
        self.slopes = None if slopes is None else _tables(slopes)
        self.inducing = None if posterior is None else _tables(posterior.points)
        self.factors = None if posterior is None else _tables((posterior.prior, posterior.posterior, posterior.signal))

    @property
    def deviates(self) -> bool:  # type: ignore[override]
        """Whether the variance of predictions is known."""
        return self.inducing is not None

    @property
    def posterior(self) -> Posterior:
        """What variances are made of.

        Raises:
            ValueError: that was not kept.
        """
        if self.inducing is None or self.factors is None:
            raise ValueError("the potential was fitted without its variance. Fit it with model.gpr.variance_points > 0")
        return Posterior(list(self.inducing.parameters()), *self.factors.parameters())

    @property
    def coordinates(self) -> Coordinates:
        """What makes points of features."""
        return Coordinates(self.covariance, list(self.projections))

    def forward(self, features: Float[Tensor, "N D"], element: Int[Tensor, "N"]) -> Float[Tensor, "1 N"]:
        """Output of each atom (eV); `element` counts 0 to E-1."""
        outputs, coordinates = features.new_zeros(len(features)), self.coordinates
        for e in range(len(self.points)):
            rows = (element == e).nonzero().flatten()
            for part in rows.split(self._at_once(e)):
                u = coordinates.points(features[part], e)
                curve = self.covariance(half_squares(u, self.points[e]))
                found = curve.value @ self.weights[e]
                if self.slopes is not None:
                    found = found - (curve.slope * self._along(u, e)).sum(dim=1)
                outputs = outputs.index_add(0, part, found)
        return outputs[None]

    @torch.no_grad()
    def with_gradients(
        self, features: Float[Tensor, "N D"], element: Int[Tensor, "N"]
    ) -> tuple[Float[Tensor, "1 N"], Float[Tensor, "1 N D"]]:
        """The same with its gradients by the features."""
        outputs, gradients = features.new_zeros(len(features)), torch.zeros_like(features)
        coordinates = self.coordinates
        for e in range(len(self.points)):
            rows = (element == e).nonzero().flatten()
            for part in rows.split(self._at_once(e)):
                u = coordinates.points(features[part], e)
                value, slope, curvature = self.covariance(half_squares(u, self.points[e]))
                found, bare = value @ self.weights[e], slope * self.weights[e]
                by_u = torch.zeros_like(u)
                if self.slopes is not None:
                    along = self._along(u, e)
                    found -= (slope * along).sum(dim=1)
                    bare -= curvature * along
                    by_u -= slope @ self.slopes[e]
                by_u += bare.sum(dim=1, keepdim=True) * u - bare @ self.points[e]
                if self.covariance.on_sphere:
                    by_u = from_sphere(by_u, u)
                outputs[part], gradients[part] = found, by_u @ self.projections[e].T
        return outputs[None], gradients[None]

    def as_dict(self) -> dict[str, Any]:
        """Plain values that, with the tensors of the state, make the same kernels again with `kernels_from`."""
        return {"covariance": self.covariance.as_dict()}

    def _along(self, u: Tensor, element: int) -> Tensor:
        """Component of each distance u - u_m along the slope of m."""
        assert self.slopes is not None
        points, slopes = self.points[element], self.slopes[element]
        return u @ slopes.T - (points * slopes).sum(dim=1)

    def _at_once(self, element: int) -> int:
        return max(1, ENTRIES // max(1, len(self.points[element])))


def kernels_from(values: dict[str, Any], state: dict[str, Tensor]) -> AtomicKernels:
    """The inverse of `AtomicKernels.as_dict`; `state` holds the tensors by the names of the module's state.

    Raises:
        ValueError: tables are missing or do not fit together.
    """
    tables = {name: _listed(state, name) for name in ("projections", "points", "weights", "slopes", "inducing")}
    factors = _listed(state, "factors")
    counts = {name: len(found) for name, found in tables.items() if found or name in ("points", "weights")}
    if set(counts.values()) != {len(tables["projections"])} or len(factors) not in (0, 3):
        raise ValueError(f"tables of kernels for {counts} elements; expected as many of each")
    covariance = covariance_from(values["covariance"])
    more = int(covariance.on_sphere)
    for e, (projection, points, weights) in enumerate(
        zip(tables["projections"], tables["points"], tables["weights"], strict=True)
    ):
        others = [found[e] for name in ("slopes", "inducing") if (found := tables[name])]
        if weights.shape != points.shape[:1] or any(
            t.ndim != 2 or t.shape[1] != projection.shape[1] + more for t in (points, *others)
        ):
            raise ValueError(f"kernels of {tuple(points.shape)} points with {tuple(weights.shape)} weights")
        if len(projection) != len(values["functions"]) or (tables["slopes"] and others[0].shape != points.shape):
            raise ValueError(f"kernels of {tuple(points.shape)} points that do not fit to functions or slopes")
    among = sum(map(len, tables["inducing"]))
    if factors and [tuple(factor.shape) for factor in factors] != [(among, among), (among, among), (1,)]:
        raise ValueError(f"factors of the variance that are not of {among} inducing environments")
    posterior = Posterior(tables["inducing"], *factors) if factors else None
    return AtomicKernels(
        covariance, tables["projections"], tables["points"], tables["weights"], tables["slopes"] or None, posterior
    )


def _tables(values: Sequence[Tensor]) -> nn.ParameterList:
    return nn.ParameterList(nn.Parameter(value.double(), requires_grad=False) for value in values)


def _listed(state: dict[str, Tensor], name: str) -> list[Tensor]:
    """The tensors of a list of the module's state."""
    found = {int(key.rsplit(".", 1)[1]): value for key, value in state.items() if key.startswith(f"{name}.")}
    if sorted(found) != list(range(len(found))):
        raise ValueError(f"{name} {sorted(found)} are there; expected all from 0 on")
    return [found[n] for n in range(len(found))]
