"""What people look at in a trajectory: temperature and energy, distances, displacements, vibrations."""
