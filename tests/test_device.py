"""How the CPU is used."""

import subprocess
import sys

import torch

from mlip.device import denormals_are_zero


def test_tiny_numbers_are_zero_only_for_a_while():
    tiny = torch.tensor([1e-30]) * torch.tensor([1e-10])
    with denormals_are_zero():
        assert float(torch.tensor([1e-30]) * torch.tensor([1e-10])) == 0.0
    assert float(torch.tensor([1e-30]) * torch.tensor([1e-10])) == float(tiny) > 0


def test_every_matrix_library_has_as_many_threads_as_asked_for():
    code = (
        "from mlip.device import configure_cpu; configure_cpu(1); from mlip.kernels import training; "
        "from threadpoolctl import threadpool_info; "
        "print(*(pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"1"}
    assert len(done.stdout.split()) >= 2, "numpy's and scipy's"
