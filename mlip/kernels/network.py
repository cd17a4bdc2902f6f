"""CPU kernels (numba) of the atomic networks."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from mlip.kernels.activations import SILU, TANH, curve
from mlip.kernels.compile import disjoint, kernel

# Networks of E elements and K members, m E + e that of member m for element e: activation (E,L) of the layers, widths
# (K E,L+1) of inputs and layers, 0 where there is none; weights one after the other in one array, each layer's matrix
# (out,in) then its bias, from offset (K E,L) on.
Networks = namedtuple("Networks", "activation widths offset weights")
# Layers of some atoms: values and slopes, a row for each layer; which atoms.
Layers = namedtuple("Layers", "values slopes atoms")


@kernel
def _activate(kind, values, slopes):
    """Activate values in place; loops of their own for what is used most, so that they vectorize."""
    disjoint()
    if kind == SILU:
        for w in range(values.shape[0]):
            values[w], slopes[w], _ = curve(values[w], SILU)
    elif kind == TANH:
        for w in range(values.shape[0]):
            values[w], slopes[w], _ = curve(values[w], TANH)
    else:
        for w in range(values.shape[0]):
            values[w], slopes[w], _ = curve(values[w], kind)


@kernel
def _forward(matrix, bias, inputs, outputs):
    """outputs = inputs matrix^T + bias, a row for each atom; four rows of weights at once, read once for all atoms."""
    disjoint()
    last = matrix.shape[0] - 1
    for o in range(0, last + 1, 4):
        p, q, r = min(o + 1, last), min(o + 2, last), min(o + 3, last)
        for a in range(inputs.shape[0]):
            of_o, of_p, of_q, of_r = bias[o], bias[p], bias[q], bias[r]
            for i in range(matrix.shape[1]):
                x = inputs[a, i]
                of_o += matrix[o, i] * x
                of_p += matrix[p, i] * x
                of_q += matrix[q, i] * x
                of_r += matrix[r, i] * x
            outputs[a, o], outputs[a, p], outputs[a, q], outputs[a, r] = of_o, of_p, of_q, of_r


@kernel
def _backward(matrix, outputs, inputs):
    """inputs = outputs matrix, the gradient that goes back; four rows of weights at once."""
    disjoint()
    zero, last = matrix.dtype.type(0.0), matrix.shape[0] - 1
    for a in range(inputs.shape[0]):
        for i in range(matrix.shape[1]):
            inputs[a, i] = zero
    for o in range(0, last + 1, 4):
        p, q, r = min(o + 1, last), min(o + 2, last), min(o + 3, last)
        for a in range(inputs.shape[0]):
            by_o = outputs[a, o]
            by_p, by_q = outputs[a, p] if o + 1 <= last else zero, outputs[a, q] if o + 2 <= last else zero
            by_r = outputs[a, r] if o + 3 <= last else zero
            for i in range(matrix.shape[1]):
                inputs[a, i] += (matrix[o, i] * by_o + matrix[p, i] * by_p) + (
                    matrix[q, i] * by_q + matrix[r, i] * by_r
                )


@kernel(allocates=True)
def room_for_networks(networks, atoms):
    """Empty arrays for the layers of so many atoms."""
    layers, width, real = networks.offset.shape[1], atoms * networks.widths.max(), networks.weights.dtype
    return Layers(np.empty((layers + 1, width), real), np.empty((layers, width), real), np.empty(atoms, np.int64))


@kernel(allocates=True)
def network_energies(networks, element, features, energies, gradients):
    """Sum of the outputs of each atom's networks, and its gradient by the features (N,D), in the weights' precision.

    A network reads the first columns of its atoms' features, as many as it has inputs. Its output is linear.
    """
    block_energies(networks, element, features, room_for_networks(networks, element.shape[0]), energies, gradients)


@kernel
def block_energies(networks, element, features, room, energies, gradients):
    """The same in arrays that are there."""
    values, slopes, atoms = room
    elements = networks.activation.shape[0]
    for e in range(elements):
        count = 0
        for a in range(element.shape[0]):
            if element[a] == e:
                atoms[count] = a
                count += 1
        if count == 0:
            continue
        widths, depth = networks.widths[e], 0
        while depth < networks.offset.shape[1] and widths[depth + 1] > 0:
            depth += 1
        for network in range(e, networks.widths.shape[0], elements):
            _take(features, atoms[:count], _rows(values[0], count, widths[0]))
            for layer in range(depth):
                matrix, bias = layer_of(networks, networks.weights, network, layer)
                outputs = _rows(values[layer + 1], count, widths[layer + 1])
                _forward(matrix, bias, _rows(values[layer], count, widths[layer]), outputs)
                if layer < depth - 1:
                    size = count * widths[layer + 1]
                    _activate(networks.activation[e, layer], values[layer + 1, :size], slopes[layer, :size])
            for a in range(count):
                energies[atoms[a]] = values[depth, a] if network == e else energies[atoms[a]] + values[depth, a]
                values[depth, a] = 1.0
            for layer in range(depth - 1, -1, -1):
                matrix, _ = layer_of(networks, networks.weights, network, layer)
                if layer < depth - 1:
                    for x in range(count * widths[layer + 1]):
                        values[layer + 1, x] *= slopes[layer, x]
                outputs = _rows(values[layer + 1], count, widths[layer + 1])
                _backward(matrix, outputs, _rows(values[layer], count, widths[layer]))
            _give(_rows(values[0], count, widths[0]), atoms[:count], network > e, gradients)


@kernel
def _take(features, atoms, rows):
    """The first features of some atoms."""
    for a in range(rows.shape[0]):
        for d in range(rows.shape[1]):
            rows[a, d] = features[atoms[a], d]


@kernel
def _give(rows, atoms, add, gradients):
    """Rows to the rows of some atoms, or added there."""
    for a in range(rows.shape[0]):
        for d in range(rows.shape[1]):
            gradients[atoms[a], d] = gradients[atoms[a], d] + rows[a, d] if add else rows[a, d]


@kernel(inline="always")
def _rows(values, count, width):
    """The first values as one row for each atom."""
    return values[: count * width].reshape((count, width))


@kernel(inline="always")
def layer_of(networks, flat, e, layer):
    """Matrix (out,in) and bias of a layer in an array that is laid out like the weights, without a copy."""
    n_in, n_out = networks.widths[e, layer], networks.widths[e, layer + 1]
    first = networks.offset[e, layer]
    matrix = flat[first : first + n_in * n_out].reshape((n_out, n_in))
    return matrix, flat[first + n_in * n_out : first + n_in * n_out + n_out]
