"""What is computed on a CUDA device by Triton: the symmetry functions.

The kernels read a table of pairs, made by `pairs`: the neighbors of each center within a cutoff, sorted by element. A
program has a center and one or two neighbor elements, and writes only what is its own (features of its center, or
gradients of its pairs), so nothing is added atomically and equal input gives equal bits. The arithmetic has the
precision of the pair vectors. Numbers of a model stand in tables on the device, never in the code, so that one machine
code serves all models; a literal is one that float32 holds exactly, because older releases of Triton round it to that.
"""
