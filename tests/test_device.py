"""How the CPU is used."""

import subprocess
import sys

import torch

from mlip.device import denormals_are_zero, device_of_rank


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


def test_ranks_of_a_machine_share_its_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for rank, gpu in ((0, 0), (1, 1), (3, 1)):
        monkeypatch.setenv("SLURM_LOCALID", str(rank))
        assert [device_of_rank(name).index for name in ("auto", "cuda")] == [gpu, gpu]
        assert device_of_rank("cuda:0").index == 0 and device_of_rank("cpu").type == "cpu"
