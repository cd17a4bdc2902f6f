"""Finding the weights: loss, optimizers, the loop, and the errors that are reported."""
