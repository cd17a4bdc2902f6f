"""Compile the kernels with Triton's own compiler, which needs no GPU; prints their names. Run by test_cuda.py."""

import os
import tempfile

os.environ.pop("TRITON_INTERPRET", None)

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mlip.descriptors import cuda
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import AxilrodTeller, Bessel, Chebyshev, LogNormal, Narrow, Radial, Shifted, Wide

HOPPER = GPUTarget("cuda", 90, 32)
TYPES = {torch.float32: "*fp32", torch.float64: "*fp64", torch.int32: "*i32", torch.int64: "*i64"}
FUNCTIONS = [
    Radial(neighbors=(1,), cutoff=3.0, eta=1.0),
    Narrow(neighbors=(1, 1), cutoff=3.0, cutoff_function="tanh", eta=0.1, zeta=2.5, lambda_=1.0),
    Wide(neighbors=(1, 1), cutoff=3.0, cutoff_function="polynomial", eta=0.1, zeta=1.0, lambda_=1.0),
    Shifted(neighbors=(1, 1), cutoff=3.0, eta=0.1, r_s=1.0, zeta=9.0, theta_s=1.0),
    LogNormal(neighbors=(1,), cutoff=3.0, r_s=1.0, width=0.3, power=1.0),
    Chebyshev(weights=((1, 0.5),), cutoff=3.0, eta=0.1, r_s=1.0, n=3),
    Bessel(neighbors=(1,), cutoff=3.0, n=2),
    AxilrodTeller(neighbors=(1, 1), cutoff=3.0, eta=0.1, r_s=1.0, n=2, power=0.5),
    Narrow(neighbors=(1, 1), cutoff=3.0, cutoff_function="exponential", eta=0.1, r_s=1.0, zeta=2.0, lambda_=1.0),
    Wide(neighbors=(1, 1), cutoff=3.0, cutoff_function="hard", eta=0.1, r_s=1.0, zeta=2.0, lambda_=1.0),
    Radial(neighbors=(1,), cutoff=3.0, cutoff_function="polynomial_4", inner_cutoff=1.0, eta=1.0),
]


class Compiled:
    """In place of a kernel: compiles what a launch would run, and runs nothing."""

    def __init__(self, kernel):
        self.kernel, self.arg_names = kernel, kernel.arg_names

    def __getitem__(self, grid):
        return self.compile

    def compile(self, num_warps, **arguments):
        # A launch makes a constant of each number that is one, too.
        constants = {p.name: arguments[p.name] for p in self.kernel.params if p.is_constexpr}
        constants |= {name: 1 for name, value in arguments.items() if isinstance(value, int) and value == 1}
        types = {name: "constexpr" if name in constants else self.type_of(arguments[name]) for name in self.arg_names}
        source = ASTSource(self.kernel, signature=types, constexprs=constants)
        assert triton.compile(source, target=HOPPER, options={"num_warps": num_warps}).asm["cubin"]
        print(self.kernel.__name__)

    @staticmethod
    def type_of(value):
        return TYPES[value.dtype] if isinstance(value, torch.Tensor) else "i32"


def main():
    for name in ("gather", "radial", "angular_sums", "angular_gradients", "angular_jacobian"):
        setattr(cuda, name, Compiled(getattr(cuda, name)))
    numbers, pairs = torch.tensor([1, 1, 1]), torch.tensor([[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]])
    for dtype, chosen in ((torch.float32, FUNCTIONS[::3]), (torch.float64, [*FUNCTIONS[:3], *FUNCTIONS[4:]])):
        features = cuda.CudaACSF(ACSF([1], chosen))
        vectors = torch.rand(6, 3, dtype=dtype).requires_grad_()
        g = torch.rand(3, len(chosen), dtype=dtype).requires_grad_()
        (transposed,) = torch.autograd.grad(features(numbers, pairs, vectors), vectors, g, create_graph=True)
        torch.autograd.grad(transposed, g, vectors.detach())
        features.jacobian(numbers, pairs, vectors)


with tempfile.TemporaryDirectory() as folder:
    os.environ["TRITON_CACHE_DIR"] = folder
    main()
