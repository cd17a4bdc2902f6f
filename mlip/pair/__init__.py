"""Classical pair potentials: curves for each pair of elements, and how they are fitted."""
