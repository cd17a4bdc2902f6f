"""LAMMPS runs the dynamics, the potential gives each rank the forces of its atoms."""
