"""Many trainings that answer one question: how the error falls with data, how sure it is, which settings are best."""
