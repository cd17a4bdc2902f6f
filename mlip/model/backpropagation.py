r"""The atomic networks' share of a training step, written by hand.

Training on forces needs the gradient by the weights of a loss that itself holds gradients of the networks. Automatic
differentiation takes hundreds of small operations for it; by hand it is eleven matrix products for each pair of layers.
With the layers

.. math:: z_l = W_l a_{l-1} + b_l, \qquad a_l = f_l(z_l), \qquad y = w \cdot a_L + b

the gradient of y by the inputs comes from :math:`d_l = q_l f_l'(z_l)`, :math:`q_{l-1} = W_l^T d_l`, :math:`q_L = w`. A
loss with :math:`\partial L / \partial y = c` and :math:`\partial L / \partial(\partial y / \partial a_0) = u` has the
same gradient by the weights as :math:`c\,y + \dot y`, where :math:`\dot y` is the change of y along
:math:`\dot a_0 = u`:

.. math:: \dot z_l = W_l \dot a_{l-1}, \quad \dot a_l = f_l'(z_l) \dot z_l, \quad
          \bar z_l = f_l'(z_l)\,\bar a_l + q_l f_l''(z_l)\,\dot z_l, \quad \bar a_{l-1} = W_l^T \bar z_l, \quad
          \frac{\partial L}{\partial W_l} = \bar z_l a_{l-1}^T + d_l \dot a_{l-1}^T

An output with an activation of its own is one more layer of this kind, :math:`y = a_{L+1}`, with :math:`q_{L+1} = 1`
and :math:`\bar a_{L+1} = c`.

Source: Pearlmutter, Neural Comput. 6, 147 (1994), the R-operator, for a function of the inputs instead of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mlip.model.activations import CURVES
from mlip.model.networks import AtomicNetworks
from mlip.model.scaling import FeatureScaling


class NetworkPass:
    """Networks of atoms: `outputs` (K,N) of K members, their `gradients` by the features (K,N,D), and weight gradients
    on demand.

    The scale of the features is folded into the first layer. Needs gradients to be off (`torch.no_grad`).
    """

    def __init__(
        self,
        networks: AtomicNetworks,
        scaling: FeatureScaling,
        features: Float[Tensor, "N D"],
        element: Int[Tensor, "N"],
    ) -> None:
        self._order = torch.argsort(element, stable=True)
        self._place = torch.argsort(self._order)
        inputs = features.index_select(0, self._order)
        shift, scale = scaling.shift.to(inputs.dtype), scaling.scale.to(inputs.dtype)
        alike: dict[tuple[tuple[str, ...], tuple[int, ...]], list[_Applied]] = {}
        end = 0
        for e, count in enumerate(torch.bincount(element, minlength=len(scale)).tolist()):
            rows, end = slice(end, end + count), end + count
            if count:
                inputs[rows] -= shift[e]
                shape = (tuple(networks.activation[e]), tuple(networks.hidden[e]))
                alike.setdefault(shape, []).extend(
                    _Applied(networks.linear(m * len(scale) + e), scale[e], (m, rows)) for m in range(networks.members)
                )
        self._families = [_Family(names, inputs, applied) for (names, _), applied in alike.items()]
        outputs = inputs.new_empty(networks.members, len(inputs))
        gradients = inputs.new_empty(networks.members, *inputs.shape)
        for family in self._families:
            family.put(outputs, gradients)
        self.outputs = outputs.index_select(1, self._place)
        self.gradients = gradients.index_select(1, self._place)

    def add_weight_gradients(self, by_outputs: Float[Tensor, "K N"], by_gradients: Float[Tensor, "K N D"]) -> None:
        """Add to each weight's `grad`, given the loss's derivatives by `outputs` (c) and by `gradients` (u)."""
        c, u = by_outputs.index_select(1, self._order), by_gradients.index_select(1, self._order)
        for family in self._families:
            family.differentiate(c, u)


class _Applied(NamedTuple):
    """The layers of a network, the scale of its features, and its place: its member, and the rows of its inputs."""

    layers: Sequence[nn.Linear]
    scale: Tensor
    place: tuple[int, slice]


class _Family:
    """Networks of the same shape and activations, stacked so that what is elementwise is done once for all of them."""

    def __init__(self, activation: Sequence[str], inputs: Tensor, networks: Sequence[_Applied]) -> None:
        self.networks = networks
        self.last = len(activation) - 1  # the layer of the output
        self.curved = self.last + (activation[-1] != "linear")  # layers but a linear output
        self.weights = [[layer.weight for layer in network.layers] for network in networks]
        for weights, network in zip(self.weights, networks, strict=True):
            weights[0] = weights[0] / network.scale
        self.values = [[inputs[network.place[1]] for network in networks]]  # inputs of each layer, by network
        ends = torch.tensor([len(part) for part in self.values[0]]).cumsum(0).tolist()
        self.slots = [slice(end - len(part), end) for end, part in zip(ends, self.values[0], strict=True)]
        self.slope, self.curvature = [], []
        for layer in range(self.curved):
            sums = inputs.new_empty(ends[-1], networks[0].layers[layer].out_features)
            for n, network in enumerate(networks):
                bias, weight = network.layers[layer].bias, self.weights[n][layer]
                torch.addmm(bias, self.values[layer][n], weight.t(), out=sums[self.slots[n]])
            value, slope, curvature = CURVES[activation[layer]](sums)
            self.values.append(self._parts(value))
            self.slope.append(slope)
            self.curvature.append(curvature)
        self.by_value = [torch.empty_like(slope) for slope in self.slope]  # q of each layer
        self.by_sum = list(self.by_value)  # d of each layer
        for layer in reversed(range(self.curved)):
            for n, slot in enumerate(self.slots):
                if layer == self.last:
                    self.by_value[layer][slot] = 1.0
                elif layer + 1 == self.curved:
                    self.by_value[layer][slot] = self.weights[n][layer + 1]
                else:
                    torch.mm(self.by_sum[layer + 1][slot], self.weights[n][layer + 1], out=self.by_value[layer][slot])
            self.by_sum[layer] = self.by_value[layer] * self.slope[layer]

    def put(self, outputs: Tensor, gradients: Tensor) -> None:
        """Write outputs, and their gradients by the features, to the networks' rows."""
        for n, (network, slot) in enumerate(zip(self.networks, self.slots, strict=True)):
            if self.curved > self.last:
                outputs[network.place] = self.values[-1][n][:, 0]
            else:
                bias, weight = network.layers[-1].bias, self.weights[n][-1][0]
                torch.addmv(bias, self.values[-1][n], weight, out=outputs[network.place])
            if self.curved:
                torch.mm(self.by_sum[0][slot], self.weights[n][0], out=gradients[network.place])
            else:
                gradients[network.place] = self.weights[n][0]

    def differentiate(self, by_outputs: Tensor, by_gradients: Tensor) -> None:
        """Add weight gradients, from the derivatives by outputs (c) and by gradients (u)."""
        along, of_sums = self._tangents(by_gradients)
        back = [by_outputs[network.place][:, None] for network in self.networks]
        if self.curved > self.last:
            back = self._through_activation(self.last, torch.cat(back), of_sums)
        for layer in reversed(range(self.last + 1)):
            for n, network in enumerate(self.networks):
                gradient = torch.mm(back[n].t(), self.values[layer][n])
                if layer == self.curved:
                    gradient += along[layer][n].sum(dim=0)
                else:
                    gradient.addmm_(self.by_sum[layer][self.slots[n]].t(), along[layer][n])
                _add(network.layers[layer].weight, gradient / network.scale if layer == 0 else gradient)
                _add(network.layers[layer].bias, back[n].sum(dim=0))
            if layer:
                by_value = torch.empty_like(self.slope[layer - 1])
                for n, slot in enumerate(self.slots):
                    torch.mm(back[n], self.weights[n][layer], out=by_value[slot])
                back = self._through_activation(layer - 1, by_value, of_sums)

    def _through_activation(self, layer: int, by_value: Tensor, of_sums: Sequence[Tensor]) -> list[Tensor]:
        """Derivatives by a layer's sums, by network, from those by its values, which change."""
        curved = self.by_value[layer] * self.curvature[layer]
        return self._parts(by_value.mul_(self.slope[layer]).addcmul_(curved, of_sums[layer]))

    def _tangents(self, by_gradients: Tensor) -> tuple[list[list[Tensor]], list[Tensor]]:
        """Changes of each layer's inputs, by network, and of each layer's sums, along u."""
        along, of_sums = [[by_gradients[network.place] for network in self.networks]], []
        for layer in range(self.curved):
            change = torch.empty_like(self.slope[layer])
            for n, slot in enumerate(self.slots):
                torch.mm(along[layer][n], self.weights[n][layer].t(), out=change[slot])
            of_sums.append(change)
            along.append(self._parts(self.slope[layer] * change))
        return along, of_sums

    def _parts(self, stacked: Tensor) -> list[Tensor]:
        return [stacked[slot] for slot in self.slots]


def _add(weight: Tensor, gradient: Tensor) -> None:
    assert weight.grad is not None, "WeightTable has made one"
    weight.grad += gradient
