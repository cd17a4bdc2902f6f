"""CPU kernels of the neighbor search: pair by pair for few atoms, through a grid of bins for many.

Both go by the same number, the squared length of (r_j - r_i) + s A, formed in this order and without fast math: those
of (i, j, s) and (j, i, -s) are equal to the last bit, so a pair is found in both directions or in none.
"""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np

from mlip.kernels.compile import kernel

DIGIT = 9  # bits of a neighbor's number that are sorted at a time; two rounds up to 262144 atoms

# Atoms sorted into bins. first (B+1,): slot of each bin's first atom, the last axis runs fastest; bins (3,): their
# number along each axis; reach (3,): how many bins away neighbors may be; periodic (3,). In the order of slots: atom
# (N,), its bin (N,), and as rows (6,N) its position and how many whole lattice vectors it is away from the cell.
Grid = namedtuple("Grid", "first bins reach periodic atom bin rows")


@kernel(fast=False)
def largest(positions):
    """The largest magnitude of a coordinate; NaN if there is one."""
    result = 0.0
    for i in range(positions.shape[0]):
        for x in range(3):
            if not abs(positions[i, x]) <= result:
                result = abs(positions[i, x])
            if math.isnan(result):
                return result
    return result


@kernel(fast=False)
def longest_move(positions, before):
    """The longest way that an atom has gone; NaN if one is."""
    result = 0.0
    for i in range(positions.shape[0]):
        x, y, z = positions[i, 0] - before[i, 0], positions[i, 1] - before[i, 1], positions[i, 2] - before[i, 2]
        squared = x * x + y * y + z * z
        if not squared <= result:
            result = squared
        if math.isnan(result):
            return result
    return math.sqrt(result)


@kernel(fast=False, inline="always")
def _squared(x, y, z, s0, s1, s2, a):
    """Squared length of a difference of positions plus lattice vectors."""
    x = x + (s0 * a[0] + s1 * a[3] + s2 * a[6])
    y = y + (s0 * a[1] + s1 * a[4] + s2 * a[7])
    z = z + (s0 * a[2] + s1 * a[5] + s2 * a[8])
    return x * x + y * y + z * z


@kernel(fast=False, inline="always")
def _elements(cell):
    """The cell's nine numbers in registers, where no array that is written to can be taken for them."""
    a, b, c = cell[0], cell[1], cell[2]
    return a[0], a[1], a[2], b[0], b[1], b[2], c[0], c[1], c[2]


@kernel(fast=False, allocates=True)
def direct(positions, cell, inverse, margin, limit, centers):
    """Pairs, shifts and distances of up to the square root of `limit`, by trying each center with each atom.

    margin (3,) is the cutoff in lattice vectors, rounded up, and 0 along open directions.
    """
    count = _direct(positions, cell, inverse, margin, limit, centers, False, *_room(0))
    room = _room(count)
    _direct(positions, cell, inverse, margin, limit, centers, True, *room)
    return room


@kernel(fast=False, allocates=True)
def _room(count):
    return np.empty((2, count), np.int64), np.empty((count, 3)), np.empty(count)


@kernel(fast=False, allocates=True)
def _direct(positions, cell, inverse, margin, limit, centers, fill, pairs, shifts, distances):
    """Number of pairs, which are written if asked for."""
    a = _elements(cell)
    low, high = np.zeros(3, np.int64), np.zeros(3, np.int64)
    count = 0
    for i in range(centers):
        for j in range(positions.shape[0]):
            x = positions[j, 0] - positions[i, 0]
            y = positions[j, 1] - positions[i, 1]
            z = positions[j, 2] - positions[i, 2]
            for k in range(3):
                if margin[k] > 0.0:
                    apart = x * inverse[0, k] + y * inverse[1, k] + z * inverse[2, k]
                    low[k], high[k] = math.ceil(-apart - margin[k]), math.floor(-apart + margin[k])
            for s0 in range(low[0], high[0] + 1):
                for s1 in range(low[1], high[1] + 1):
                    for s2 in range(low[2], high[2] + 1):
                        squared = _squared(x, y, z, s0, s1, s2, a)
                        if squared <= limit and not (i == j and s0 == 0 and s1 == 0 and s2 == 0):
                            if fill:
                                pairs[0, count], pairs[1, count] = i, j
                                shifts[count, 0], shifts[count, 1], shifts[count, 2] = s0, s1, s2
                                distances[count] = math.sqrt(squared)
                            count += 1
    return count


@kernel(fast=False, allocates=True)
def sorted_into_bins(positions, inverse, low, scale, bins, reach, periodic):
    """The grid: a coordinate's bin is (fraction - low) scale, or along an open axis the outermost one."""
    atoms = positions.shape[0]
    whole, bin_of = np.zeros((atoms, 3)), np.empty(atoms, np.int64)
    first = np.zeros(bins[0] * bins[1] * bins[2] + 1, np.int64)
    for i in range(atoms):
        flat = 0
        for k in range(3):
            f = positions[i, 0] * inverse[0, k] + positions[i, 1] * inverse[1, k] + positions[i, 2] * inverse[2, k]
            if periodic[k]:
                whole[i, k] = math.floor(f)
            place = (f - whole[i, k] - low[k]) * scale[k]
            flat = flat * bins[k] + int(min(max(place, 0.0), bins[k] - 1.0))
        bin_of[i] = flat
        first[flat + 1] += 1
    for b in range(first.shape[0] - 1):
        first[b + 1] += first[b]
    free = first.copy()
    grid = Grid(
        first, bins, reach, periodic, np.empty(atoms, np.int64), np.empty(atoms, np.int64), np.empty((6, atoms))
    )
    for i in range(atoms):
        t = free[bin_of[i]]
        free[bin_of[i]] += 1
        grid.atom[t], grid.bin[t] = i, bin_of[i]
        for k in range(3):
            grid.rows[k, t], grid.rows[3 + k, t] = positions[i, k], whole[i, k]
    return grid


@kernel(fast=False, allocates=True)
def _room_for_runs(grid):
    most = (2 * grid.reach[0] + 1) * (2 * grid.reach[1] + 1) * (2 * grid.reach[2] // grid.bins[2] + 2)
    return np.empty((most, 2), np.int64), np.empty((most, 3))


@kernel(fast=False, allocates=True)
def _runs(t, grid, runs, images):
    """Slots (from, to) with all that may be a neighbor of the atom in slot t, and the image of the cell each is in.

    The images of any one atom come in the order of their shifts.
    """
    n0, n1, n2 = grid.bins[0], grid.bins[1], grid.bins[2]
    r0, r1, r2 = grid.reach[0], grid.reach[1], grid.reach[2]
    b = grid.bin[t]
    b0, b1, b2 = b // (n1 * n2), b // n2 % n1, b % n2
    count = 0
    for c0 in range(b0 - r0, b0 + r0 + 1):
        q0 = c0 // n0
        if q0 != 0 and not grid.periodic[0]:
            continue
        for c1 in range(b1 - r1, b1 + r1 + 1):
            q1 = c1 // n1
            if q1 != 0 and not grid.periodic[1]:
                continue
            column = ((c0 - q0 * n0) * n1 + c1 - q1 * n1) * n2
            for q2 in range((b2 - r2) // n2, (b2 + r2) // n2 + 1):
                if q2 != 0 and not grid.periodic[2]:
                    continue
                runs[count, 0] = grid.first[column + max(b2 - r2 - q2 * n2, 0)]
                runs[count, 1] = grid.first[column + min(b2 + r2 - q2 * n2, n2 - 1) + 1]
                images[count, 0], images[count, 1], images[count, 2] = q0, q1, q2
                count += 1
    return count


@kernel(fast=False, allocates=True)
def count_pairs(begin, end, grid, cell, limit, counts):
    """Number of neighbors of each center in the slots from begin to end. (Unsigned indices let the loop vectorize.)"""
    a = _elements(cell)
    px, py, pz, w0, w1, w2 = grid.rows[0], grid.rows[1], grid.rows[2], grid.rows[3], grid.rows[4], grid.rows[5]
    runs, images = _room_for_runs(grid)
    for t in range(begin, end):
        if grid.atom[t] >= counts.shape[0]:
            continue
        x, y, z = px[t], py[t], pz[t]
        count = -1  # the atom itself
        for run in range(_runs(t, grid, runs, images)):
            s0, s1, s2 = w0[t] + images[run, 0], w1[t] + images[run, 1], w2[t] + images[run, 2]
            for o in range(np.uint64(runs[run, 0]), np.uint64(runs[run, 1])):
                count += _squared(px[o] - x, py[o] - y, pz[o] - z, s0 - w0[o], s1 - w1[o], s2 - w2[o], a) <= limit
        counts[grid.atom[t]] = count


@kernel(fast=False, allocates=True)
def fill_pairs(begin, end, grid, cell, limit, start, pairs, shifts, distances):
    """Neighbors of each of N centers in the slots from begin to end, sorted, from start (N+1,) of the center on."""
    a = _elements(cell)
    px, py, pz, w0, w1, w2 = grid.rows[0], grid.rows[1], grid.rows[2], grid.rows[3], grid.rows[4], grid.rows[5]
    runs, images = _room_for_runs(grid)
    most, centers = 2, start.shape[0] - 1  # the atom itself, and one more that is written before it is known to be none
    for i in grid.atom[begin:end]:
        most = max(most, start[i + 1] - start[i] + 2) if i < centers else most
    squared = np.empty(0)
    key, spare, slot = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    shift, square = np.empty((most, 3)), np.empty(most)
    bound = np.empty((1 << DIGIT) + 1, np.int64)
    for t in range(begin, end):
        if grid.atom[t] >= centers:
            continue
        x, y, z = px[t], py[t], pz[t]
        count = np.uint64(0)
        for run in range(_runs(t, grid, runs, images)):
            s0, s1, s2 = w0[t] + images[run, 0], w1[t] + images[run, 1], w2[t] + images[run, 2]
            u, length, done = np.uint64(runs[run, 0]), np.uint64(runs[run, 1] - runs[run, 0]), count
            if squared.shape[0] < length:
                squared = np.empty(2 * length)
            for n in range(length):
                o = u + n
                squared[n] = _squared(px[o] - x, py[o] - y, pz[o] - z, s0 - w0[o], s1 - w1[o], s2 - w2[o], a)
            for n in range(length):
                slot[count], square[count] = u + n, squared[n]
                count += np.uint64(squared[n] <= limit)
            for m in range(done, count):
                o = np.uint64(slot[m])
                key[m] = grid.atom[o] << 32 | np.int64(m)
                shift[m, 0], shift[m, 1], shift[m, 2] = s0 - w0[o], s1 - w1[o], s2 - w2[o]
        i = grid.atom[t]
        p = np.uint64(start[i])
        for k in _by_atom(key, spare, count, grid.atom.shape[0], bound)[:count]:
            m = np.uint64(k & 0xFFFFFFFF)
            if slot[m] == t and shift[m, 0] == 0.0 and shift[m, 1] == 0.0 and shift[m, 2] == 0.0:
                continue
            pairs[0, p], pairs[1, p] = i, k >> 32
            shifts[p, 0], shifts[p, 1], shifts[p, 2] = shift[m, 0], shift[m, 1], shift[m, 2]
            distances[p] = math.sqrt(square[m])
            p += np.uint64(1)


@kernel(fast=False, allocates=True)
def _by_atom(key, spare, count, atoms, bound):
    """The keys sorted by their upper 32 bits, a number below `atoms`, equal ones in the order they had (radix sort)."""
    mask = (1 << DIGIT) - 1
    position = 32
    while (atoms - 1) >> (position - 32) > 0:
        bound[:] = 0
        for n in range(count):
            bound[np.uint64(((key[n] >> position) & mask) + 1)] += 1
        for b in range(np.uint64(mask)):
            bound[b + np.uint64(1)] += bound[b]
        for n in range(count):
            b = np.uint64((key[n] >> position) & mask)
            spare[np.uint64(bound[b])] = key[n]
            bound[b] += 1
        key, spare = spare, key
        position += DIGIT
    return key
