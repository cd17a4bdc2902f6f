"""From features to energies, forces and stress."""
