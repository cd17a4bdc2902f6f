"""Covariance functions of Gaussian processes, as functions of half the squared distance of two points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class Curve(NamedTuple):
    """A covariance function and its first and second derivative by q, each of the shape of q."""

    value: Tensor
    slope: Tensor
    curvature: Tensor


class Covariance:
    r"""A function :math:`k(u, u') = f(q)` of :math:`q = \tfrac12 \lVert u - u' \rVert^2`.

    - squared_exponential: :math:`f = e^{-q}`
    - rational_quadratic: :math:`f = (1 + q/\alpha)^{-\alpha}`, a mixture of squared exponentials of many lengths
    - polynomial: :math:`f = (1 - q)^\zeta` on the unit sphere, which is :math:`(\hat u \cdot \hat u')^\zeta` there;
      points :math:`u` are put on it as :math:`\hat u = (u, 1) / \sqrt{1 + \lVert u \rVert^2}`

    Its derivatives follow from those of f, with d = u - u':

    .. math:: \frac{\partial k}{\partial u} = f' d, \qquad \frac{\partial k}{\partial u'} = -f' d, \qquad
              \frac{\partial^2 k}{\partial u\, \partial u'} = -f'\,1 - f''\,d\,d^T

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eqs. 4.9, 4.19; section 9.4 for
    derivatives; the polynomial as in Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), eq. 36.

    Raises:
        ValueError: an unknown name, a parameter that it has not, or a power that makes no covariance.
    """

    def __init__(self, name: str, **parameters: float) -> None:
        wanted = PARAMETERS.get(name)
        if wanted is None:
            raise ValueError(f"the covariance function is '{name}'; known: {', '.join(PARAMETERS)}")
        if set(parameters) != set(wanted):
            raise ValueError(f"{name} has the parameters {sorted(wanted)}; got {sorted(parameters)}")
        if name == "polynomial" and not (parameters["zeta"] >= 1 and float(parameters["zeta"]).is_integer()):
            raise ValueError(f"zeta of polynomial is {parameters['zeta']:g}; expected a whole number from 1 on")
        self.name, self.parameters = name, dict(parameters)

    @property
    def on_sphere(self) -> bool:
        """Whether points are put on the unit sphere."""
        return self.name == "polynomial"

    def __call__(self, q: Tensor) -> Curve:
        """The function and its derivatives."""
        if self.name == "squared_exponential":
            value = torch.exp(-q)
            return Curve(value, -value, value)
        if self.name == "rational_quadratic":
            alpha = self.parameters["alpha"]
            base = 1.0 + q / alpha
            slope = -(base ** (-alpha - 1.0))
            return Curve(-slope * base, slope, -slope * (alpha + 1.0) / alpha / base)
        zeta = self.parameters["zeta"]
        base = 1.0 - q
        return Curve(base**zeta, -zeta * base ** (zeta - 1), zeta * (zeta - 1) * base ** (zeta - 2))

    def as_dict(self) -> dict[str, object]:
        """Plain values that make the same function again with `covariance_from`."""
        return {"name": self.name, **self.parameters}


PARAMETERS: dict[str, tuple[str, ...]] = {
    "squared_exponential": (),
    "rational_quadratic": ("alpha",),
    "polynomial": ("zeta",),
}


def covariance_from(values: Mapping[str, object]) -> Covariance:
    """The inverse of `Covariance.as_dict`."""
    parameters = {name: value for name, value in values.items() if name != "name"}
    return Covariance(str(values["name"]), **parameters)  # type: ignore[arg-type]
