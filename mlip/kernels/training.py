"""CPU kernels of the atomic networks in training; their formulas stand in `mlip.model.backpropagation`."""

from __future__ import annotations

import numpy as np

from mlip.kernels.activations import SILU, curve
from mlip.kernels.compile import kernel
from mlip.kernels.network import layer_of


@kernel
def _activate(sums, bias, kind, values, slopes, curvatures):
    """Activation of sums plus bias, row by row."""
    if kind == SILU:  # the usual one, apart so that it is vectorized
        for a in range(sums.shape[0]):
            for w in range(sums.shape[1]):
                values[a, w], slopes[a, w], curvatures[a, w] = curve(sums[a, w] + bias[w], SILU)
        return
    for a in range(sums.shape[0]):
        for w in range(sums.shape[1]):
            values[a, w], slopes[a, w], curvatures[a, w] = curve(sums[a, w] + bias[w], kind)


@kernel
def _depth(networks, e):
    """Hidden layers of an element's network."""
    depth = 0
    while depth + 1 < networks.offset.shape[1] and networks.widths[e, depth + 2] > 0:
        depth += 1
    return depth


@kernel(allocates=True)
def _part(work, networks, start, e, layer):
    """Place of hidden layer `layer` (from 1) of the atoms of element e in a work array."""
    n, width = start[e + 1] - start[e], networks.widths[e, layer]
    first = start[e] * work.shape[1]
    for before in range(1, layer):
        first += n * networks.widths[e, before]
    return work.reshape(-1)[first : first + n * width].reshape((n, width))


@kernel(allocates=True)
def forward(networks, start, order, shift, scale, features, inputs, work, outputs, gradients):
    """Outputs of the networks and their gradients by the features; what `backward` needs is left in inputs and work.

    Atoms order[start[e]] to order[start[e+1]] have element e. The four work arrays (N, sum of hidden widths) get
    values, slopes, curvatures, and the gradients by the values.
    """
    values, slopes, curvatures, by_values = work
    for e in range(start.shape[0] - 1):
        n, depth = start[e + 1] - start[e], _depth(networks, e)
        if n == 0:
            continue
        x = inputs[start[e] : start[e + 1]]
        for a in range(n):
            atom = order[start[e] + a]
            for d in range(x.shape[1]):
                x[a, d] = (features[atom, d] - shift[e, d]) / scale[e, d]
        for layer in range(depth):
            matrix, bias = layer_of(networks, networks.weights, e, layer)
            value = _part(values, networks, start, e, layer + 1)
            _activate(
                np.dot(x, matrix.T), bias, networks.activation[e], value,
                _part(slopes, networks, start, e, layer + 1), _part(curvatures, networks, start, e, layer + 1),
            )  # fmt: skip
            x = value
        matrix, bias = layer_of(networks, networks.weights, e, depth)
        result = np.dot(x, matrix.T)
        for a in range(n):
            outputs[order[start[e] + a]] = result[a, 0] + bias[0]
        back = np.ones((n, 1), networks.weights.dtype)
        for layer in range(depth, -1, -1):
            matrix = layer_of(networks, networks.weights, e, layer)[0]
            if layer == 0:
                back = np.dot(back, matrix)
            else:
                by_value = _part(by_values, networks, start, e, layer)
                np.dot(back, matrix, by_value)
                back = by_value * _part(slopes, networks, start, e, layer)
        for a in range(n):
            atom = order[start[e] + a]
            for d in range(back.shape[1]):
                gradients[atom, d] = back[a, d] / scale[e, d]


@kernel(allocates=True)
def backward(networks, start, order, scale, inputs, work, by_outputs, by_gradients, weight_gradients):
    """Add the gradients by the weights, given the loss's derivatives by outputs and by gradients."""
    values, slopes, curvatures, by_values = work
    sum_changes, value_changes = np.empty_like(values), np.empty_like(values)
    for e in range(start.shape[0] - 1):
        n, depth = start[e + 1] - start[e], _depth(networks, e)
        if n == 0:
            continue
        along = np.empty((n, inputs.shape[1]), inputs.dtype)
        back = np.empty((n, 1), inputs.dtype)
        for a in range(n):
            atom = order[start[e] + a]
            back[a, 0] = by_outputs[atom]
            for d in range(along.shape[1]):
                along[a, d] = by_gradients[atom, d] / scale[e, d]
        change = along
        for layer in range(depth):
            sum_change = _part(sum_changes, networks, start, e, layer + 1)
            np.dot(change, layer_of(networks, networks.weights, e, layer)[0].T, sum_change)
            change = _part(value_changes, networks, start, e, layer + 1)
            change[:] = sum_change * _part(slopes, networks, start, e, layer + 1)
        for layer in range(depth, -1, -1):
            matrix = layer_of(networks, networks.weights, e, layer)[0]
            by_matrix, by_bias = layer_of(networks, weight_gradients, e, layer)
            x = inputs[start[e] : start[e + 1]]
            change = along
            if layer > 0:
                x = _part(values, networks, start, e, layer)
                change = _part(value_changes, networks, start, e, layer)
            by_matrix += np.dot(back.T, x)
            for a in range(n):
                for w in range(back.shape[1]):
                    by_bias[w] += back[a, w]
            if layer == depth:
                for a in range(n):
                    for w in range(change.shape[1]):
                        by_matrix[0, w] += change[a, w]
            else:
                by_sum = _part(by_values, networks, start, e, layer + 1) * _part(slopes, networks, start, e, layer + 1)
                by_matrix += np.dot(by_sum.T, change)
            if layer > 0:
                back = np.dot(back, matrix)
                slope = _part(slopes, networks, start, e, layer)
                curvature = _part(curvatures, networks, start, e, layer)
                by_value = _part(by_values, networks, start, e, layer)
                sum_change = _part(sum_changes, networks, start, e, layer)
                for a in range(n):
                    for w in range(back.shape[1]):
                        back[a, w] *= slope[a, w]
                        back[a, w] += by_value[a, w] * curvature[a, w] * sum_change[a, w]
