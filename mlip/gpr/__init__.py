"""Gaussian processes: what they see of labelled structures, their covariances, their hyper-parameters, their fit."""
