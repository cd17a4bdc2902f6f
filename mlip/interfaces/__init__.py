"""Doors to outside programs, one file each."""
