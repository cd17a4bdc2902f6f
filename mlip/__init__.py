"""Behler-Parrinello neural-network potentials: from a data file to molecular dynamics."""
