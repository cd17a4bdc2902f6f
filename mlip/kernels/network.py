"""CPU kernels (numba) of the atomic networks and of forces, for dynamics."""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np

from mlip.kernels.arithmetic import exponential
from mlip.kernels.compile import kernel

SILU, TANH, SIGMOID, SOFTPLUS, CELU, GELU, RELU, GAUSSIAN, COSINE = range(9)
KINDS = {
    "silu": SILU,
    "tanh": TANH,
    "sigmoid": SIGMOID,
    "softplus": SOFTPLUS,
    "celu": CELU,
    "gelu": GELU,
    "relu": RELU,
    "gaussian": GAUSSIAN,
    "cosine": COSINE,
}

# Networks of E elements: activation (E,), widths (E,L+1) of inputs and layers, 0 where there is none; weights one after
# the other in one array, each layer's matrix (out,in) then its bias, from offset (E,L) on.
Networks = namedtuple("Networks", "activation widths offset weights")


@kernel(inline="always")
def _activation(x, kind):
    """Activation function and its slope."""
    if kind == RELU:
        return (x, 1.0) if x > 0 else (0.0, 0.0)
    if kind == GAUSSIAN:
        y = exponential(-0.5 * x * x)
        return y, -x * y
    if kind == COSINE:
        return math.cos(x), -math.sin(x)
    if kind == GELU:
        half = 0.5 * math.erfc(-x / math.sqrt(2.0))
        return x * half, half + x * exponential(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    e = exponential(-abs(x))
    if kind == CELU:
        return (x, 1.0) if x > 0 else (e - 1.0, e)
    if kind == TANH:
        y = (1.0 - e * e) / (1.0 + e * e)
        return (y if x > 0 else -y), 1.0 - y * y
    sigmoid = 1.0 / (1.0 + e) if x > 0 else e / (1.0 + e)
    if kind == SIGMOID:
        return sigmoid, sigmoid * (1.0 - sigmoid)
    if kind == SOFTPLUS:
        return max(x, 0.0) + math.log1p(e), sigmoid
    return x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid))


@kernel
def network_energies(networks, element, features, energies, gradients):
    """Output of each atom's network, and its gradient by the atom's features (N,D)."""
    layers = networks.offset.shape[1]
    for e in range(networks.activation.shape[0]):
        atoms = np.flatnonzero(element == e)
        if atoms.shape[0] == 0:
            continue
        widths, kind = networks.widths[e], networks.activation[e]
        depth = 0
        while depth < layers and widths[depth + 1] > 0:
            depth += 1
        widest = widths.max()
        values = np.empty((atoms.shape[0], widths[0]), networks.weights.dtype)
        for a in range(atoms.shape[0]):
            for d in range(widths[0]):
                values[a, d] = features[atoms[a], d]
        slopes = np.empty((depth, atoms.shape[0], widest), networks.weights.dtype)
        for layer in range(depth):
            matrix, bias = _layer(networks, e, layer)
            values = np.dot(values, matrix.T)
            for a in range(values.shape[0]):
                for w in range(values.shape[1]):
                    values[a, w] += bias[w]
                    if layer < depth - 1:
                        value, slope = _activation(np.float64(values[a, w]), kind)
                        values[a, w] = value
                        slopes[layer, a, w] = slope
        back = np.ones((atoms.shape[0], 1), networks.weights.dtype)
        for a in range(atoms.shape[0]):
            energies[atoms[a]] = values[a, 0]
        for layer in range(depth - 1, -1, -1):
            back = np.dot(back, _layer(networks, e, layer)[0])
            if layer > 0:
                for a in range(back.shape[0]):
                    for w in range(back.shape[1]):
                        back[a, w] *= slopes[layer - 1, a, w]
        for a in range(atoms.shape[0]):
            for d in range(widths[0]):
                gradients[atoms[a], d] = back[a, d]


@kernel
def _layer(networks, e, layer):
    """Matrix (out,in) and bias of a layer, without a copy."""
    n_in, n_out = networks.widths[e, layer], networks.widths[e, layer + 1]
    first = networks.offset[e, layer]
    matrix = networks.weights[first : first + n_in * n_out].reshape((n_out, n_in))
    return matrix, networks.weights[first + n_in * n_out : first + n_in * n_out + n_out]


@kernel
def pair_geometry(positions, cell, center, neighbor, shifts, vectors):
    """Vectors from each center to its neighbor through the periodic boundary."""
    for p in range(center.shape[0]):
        for x in range(3):
            vectors[p, x] = positions[neighbor[p], x] - positions[center[p], x]
            for k in range(3):
                vectors[p, x] += shifts[p, k] * cell[k, x]


@kernel
def forces_and_virial(center, neighbor, vectors, gradients, forces, virial):
    """Add each pair's gradient to its center's force, take it from its neighbor's, and sum vector times gradient."""
    for p in range(center.shape[0]):
        for x in range(3):
            forces[center[p], x] += gradients[p, x]
            forces[neighbor[p], x] -= gradients[p, x]
            for y in range(3):
                virial[x, y] += vectors[p, x] * gradients[p, y]
