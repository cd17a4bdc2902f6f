"""Readers of data files, one file per format, and the split into training, validation and test data."""
