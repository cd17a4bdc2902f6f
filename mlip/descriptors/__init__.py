"""What surrounds an atom, as numbers that do not change under rotation, translation and permutation."""
