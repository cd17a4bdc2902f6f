"""Potentials in the format of RuNNer and n2p2: a folder with input.nn, scaling.data and weights.ZZZ.data."""
