"""CPU kernels of the atomic networks in training; their formulas stand in `mlip.model.backpropagation`."""

from __future__ import annotations

import numpy as np

from mlip.kernels.activations import LINEAR, SILU, TANH, curve
from mlip.kernels.compile import disjoint, kernel
from mlip.kernels.network import layer_of


@kernel
def _activate(sums, bias, kind, values, slopes, curvatures):
    """Activation of sums plus bias, row by row."""
    disjoint()
    if kind == SILU:  # the usual ones, apart so that they are vectorized
        for a in range(sums.shape[0]):
            for w in range(sums.shape[1]):
                values[a, w], slopes[a, w], curvatures[a, w] = curve(sums[a, w] + bias[w], SILU)
    elif kind == TANH:
        for a in range(sums.shape[0]):
            for w in range(sums.shape[1]):
                values[a, w], slopes[a, w], curvatures[a, w] = curve(sums[a, w] + bias[w], TANH)
    else:
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
    """Place of layer `layer` (from 1) of the atoms of element e in a work array."""
    n, width = start[e + 1] - start[e], networks.widths[e, layer]
    first = start[e] * work.shape[1]
    for before in range(1, layer):
        first += n * networks.widths[e, before]
    return work.reshape(-1)[first : first + n * width].reshape((n, width))


@kernel(allocates=True)
def scaled_inputs(start, order, shift, scale, features, inputs):
    """Scaled features of all atoms, sorted by element: atoms order[start[e]] to order[start[e+1]] have element e."""
    for e in range(start.shape[0] - 1):
        for a in range(start[e], start[e + 1]):
            _scale(features[order[a]], shift[e], scale[e], inputs[a])


@kernel
def _scale(x, shift, scale, result):
    disjoint()
    for d in range(x.shape[0]):
        result[d] = (x[d] - shift[d]) / scale[d]


@kernel
def _divide(x, scale, result):
    disjoint()
    for d in range(x.shape[0]):
        result[d] = x[d] / scale[d]


@kernel(allocates=True)
def forward(first, last, networks, start, order, scale, inputs, work, outputs, gradients):
    """Outputs (K,N) of networks first to last and their gradients by the features (K,N,D).

    Network m E + e is that of member m for element e. What `backward` needs is left in the work arrays (K,N,sum of
    the layers' widths): values, slopes, curvatures, and the gradients by the values.
    """
    elements = start.shape[0] - 1
    for network in range(first, last):
        m, e = network // elements, network % elements
        n, depth = start[e + 1] - start[e], _depth(networks, e)
        if n == 0:
            continue
        values, slopes, curvatures, by_values = work[0][m], work[1][m], work[2][m], work[3][m]
        x = inputs[start[e] : start[e + 1]]
        for layer in range(depth + 1):
            matrix, bias = layer_of(networks, networks.weights, network, layer)
            value = _part(values, networks, start, e, layer + 1)
            _activate(
                np.dot(x, matrix.T), bias, networks.activation[e, layer], value,
                _part(slopes, networks, start, e, layer + 1), _part(curvatures, networks, start, e, layer + 1),
            )  # fmt: skip
            x = value
        back = np.empty_like(x)
        _part(by_values, networks, start, e, depth + 1)[:] = 1.0
        slope = _part(slopes, networks, start, e, depth + 1)
        for a in range(n):
            outputs[m, order[start[e] + a]], back[a, 0] = x[a, 0], slope[a, 0]
        for layer in range(depth, -1, -1):
            matrix = layer_of(networks, networks.weights, network, layer)[0]
            if layer == 0:
                back = np.dot(back, matrix)
            else:
                by_value = _part(by_values, networks, start, e, layer)
                np.dot(back, matrix, by_value)
                back = np.empty_like(by_value)
                _multiply(by_value, _part(slopes, networks, start, e, layer), back)
        for a in range(n):
            _divide(back[a], scale[e], gradients[m, order[start[e] + a]])


@kernel(allocates=True)
def backward(first, last, networks, start, order, scale, inputs, work, by_outputs, by_gradients, weight_gradients):
    """Add the gradients by the weights of networks first to last.

    The loss's derivatives by outputs are (K,N), by gradients (K,N,D). Two more work arrays get the changes along these.
    """
    elements = start.shape[0] - 1
    for network in range(first, last):
        m, e = network // elements, network % elements
        n, depth = start[e + 1] - start[e], _depth(networks, e)
        if n == 0:
            continue
        values, slopes, curvatures, by_values = work[0][m], work[1][m], work[2][m], work[3][m]
        sum_changes, value_changes = work[4][m], work[5][m]
        along = np.empty((n, inputs.shape[1]), inputs.dtype)
        back = np.empty((n, 1), inputs.dtype)
        for a in range(n):
            atom = order[start[e] + a]
            back[a, 0] = by_outputs[m, atom]
            _divide(by_gradients[m, atom], scale[e], along[a])
        curved = depth if networks.activation[e, depth] == LINEAR else depth + 1  # layers but a linear output
        change = along
        for layer in range(curved):
            sum_change = _part(sum_changes, networks, start, e, layer + 1)
            np.dot(change, layer_of(networks, networks.weights, network, layer)[0].T, sum_change)
            change = _part(value_changes, networks, start, e, layer + 1)
            _multiply(sum_change, _part(slopes, networks, start, e, layer + 1), change)
        if curved > depth:
            _through_activation(
                back, _part(slopes, networks, start, e, curved), _part(curvatures, networks, start, e, curved),
                _part(by_values, networks, start, e, curved), _part(sum_changes, networks, start, e, curved),
            )  # fmt: skip
        for layer in range(depth, -1, -1):
            matrix = layer_of(networks, networks.weights, network, layer)[0]
            by_matrix, by_bias = layer_of(networks, weight_gradients, network, layer)
            x = inputs[start[e] : start[e + 1]]
            change = along
            if layer > 0:
                x = _part(values, networks, start, e, layer)
                change = _part(value_changes, networks, start, e, layer)
            _add(np.dot(back.T, x), by_matrix)
            _add_rows(back, by_bias)
            if layer == curved:
                _add_rows(change, by_matrix[0])
            else:
                by_sum = np.empty((n, by_bias.shape[0]), inputs.dtype)
                by_value = _part(by_values, networks, start, e, layer + 1)
                _multiply(by_value, _part(slopes, networks, start, e, layer + 1), by_sum)
                _add(np.dot(by_sum.T, change), by_matrix)
            if layer > 0:
                back = np.dot(back, matrix)
                _through_activation(
                    back, _part(slopes, networks, start, e, layer), _part(curvatures, networks, start, e, layer),
                    _part(by_values, networks, start, e, layer), _part(sum_changes, networks, start, e, layer),
                )  # fmt: skip


@kernel
def _multiply(x, y, result):
    disjoint()
    for a in range(x.shape[0]):
        for w in range(x.shape[1]):
            result[a, w] = x[a, w] * y[a, w]


@kernel
def _add(x, result):
    disjoint()
    for a in range(x.shape[0]):
        for w in range(x.shape[1]):
            result[a, w] += x[a, w]


@kernel
def _add_rows(x, result):
    disjoint()
    for a in range(x.shape[0]):
        for w in range(x.shape[1]):
            result[w] += x[a, w]


@kernel
def _through_activation(back, slope, curvature, by_value, sum_change):
    disjoint()
    for a in range(back.shape[0]):
        for w in range(back.shape[1]):
            back[a, w] *= slope[a, w]
            back[a, w] += by_value[a, w] * curvature[a, w] * sum_change[a, w]
