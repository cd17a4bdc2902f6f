"""How exactly a device computes, and that it does so in the same way every time."""

import pytest
import torch
from interfaces.trained import ETHANOL, train
from physics import zoo
from torch.utils._python_dispatch import TorchDispatchMode

from mlip.arithmetic import arithmetic, products_are_rounded, require_repeatable, round_products
from mlip.descriptors.store import FeatureStore
from mlip.model.evaluate import evaluate
from mlip.model.weights import WeightTable
from mlip.training import step as step_module
from mlip.training.examples import Examples
from mlip.training.loss import Loss, Term
from mlip.training.step import Step

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LOSS = Loss(Term(1.0), Term(1.0), Term(1.0))
on_a_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
# On CUDA in an order that changes, and in a fixed one when torch is told so (torch.use_deterministic_algorithms).
UNORDERED = {"aten::index_add", "aten::index_add_", "aten::index_put", "aten::index_put_"}
# On CUDA without a fixed order whatever torch is told, or refused by it then.
REFUSED = {
    "put_",
    "histc",
    "kthvalue",
    "cummin",
    "cummax",
    "scatter_reduce",
    "scatter_reduce_",
    "scatter_add_",
    "median",
}


@pytest.fixture(autouse=True)
def settings():
    yield
    round_products(False)
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("tf32", [False, True])
def test_products_are_rounded_only_if_asked_for_and_only_for_a_while(before, tf32):
    round_products(before)
    with arithmetic(CUDA, tf32):
        assert products_are_rounded() is tf32
        assert torch.backends.cuda.matmul.allow_tf32 is tf32, "the old name of the setting says the same"
    assert products_are_rounded() is before
    with arithmetic(CPU, tf32):
        assert not products_are_rounded()


def test_torchs_settings_come_back_when_a_run_fails():
    with pytest.raises(KeyError), arithmetic(CPU, True, True):
        assert torch.are_deterministic_algorithms_enabled()
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled() and torch.utils.deterministic.fill_uninitialized_memory


def test_an_operation_without_a_fixed_order_is_refused_by_name():
    def put():
        torch.ones(3).put_(torch.tensor([0]), torch.tensor([2.0]))

    with arithmetic(CPU):
        put()
    refusal = r"run\.deterministic is true, but put_ does not have a deterministic implementation"
    with pytest.raises(ValueError, match=refusal), arithmetic(CPU, deterministic=True):
        put()
    with pytest.raises(RuntimeError, match="size"), arithmetic(CPU, deterministic=True):
        torch.ones(2) @ torch.ones(3)


@pytest.mark.parametrize("setting", [None, ":0:0"])
def test_cublas_must_be_told(setting, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if setting:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", setting)
    require_repeatable(CPU)
    with pytest.raises(ValueError, match=r"CUBLAS_WORKSPACE_CONFIG is (not set|:0:0).*export .*=:4096:8"):
        require_repeatable(CUDA)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    require_repeatable(CUDA)


class Called(TorchDispatchMode):
    """Names of the operations that torch is asked for."""

    def __init__(self):
        super().__init__()
        self.names, self.sums = set(), []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        self.names.add(name)
        if name in ("aten::cumsum", "aten::bincount"):
            self.sums.append((name, args))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["mixed cutoffs", "per center"])
@pytest.mark.parametrize("keep", [False, True])
def test_a_step_and_a_validation_have_a_fixed_order_on_cuda(name, keep, monkeypatch):
    """What they ask torch for where there are no CPU kernels is summed in a fixed order when that is asked for."""
    monkeypatch.setattr(step_module, "has_kernels", lambda: False)
    monkeypatch.setattr("mlip.model.derivatives.has_kernels", lambda: False)
    monkeypatch.setattr("mlip.descriptors.backends.has_kernels", lambda: False)
    potential = zoo.POTENTIALS[name]()
    examples = Examples(zoo.MIXED, potential.cutoff, CPU)
    batch, labels, _ = examples.take(range(len(examples)))
    features = None
    if keep:
        store = FeatureStore(potential.descriptor, examples.atoms, torch.float64)
        features = store.take(range(len(examples))).gathered()
    step = Step(potential, WeightTable(potential.networks))
    with Called() as called:
        step(batch, labels, LOSS, forces=True, stress=True, features=features)
        evaluate(potential, batch, features=features)
    assert "aten::index_add" in called.names, "what the page on GPUs names"
    found = {operation.removeprefix("aten::") for operation in called.names}
    assert not found & REFUSED
    for operation, arguments in called.sums:
        whole = not arguments[0].is_floating_point()
        assert whole and (operation == "aten::cumsum" or len(arguments) < 2 or arguments[1] is None), operation


def test_run_to_run_the_same_bits(tmp_path):
    """Errors and losses of two trainings, with torch's own check for operations without a fixed order."""
    rows = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        made = train(folder, ETHANOL, "run.deterministic=true", "run.tf32=true", "training.epochs=2")
        assert made.status == 0, made.err
        lines = (folder / "run" / "metrics.csv").read_text(encoding="utf-8").splitlines()
        rows.append([line.rsplit(",", 1)[0] for line in lines])  # without the time
    assert rows[0] == rows[1] and len(rows[0]) > 2


@pytest.mark.cuda
@on_a_card
def test_tf32_rounds_and_the_default_does_not():
    if torch.cuda.get_device_capability()[0] < 8:
        pytest.skip("no TF32 before Ampere")
    a, b = torch.randn(2, 512, 512, device=CUDA)
    exact = a.double() @ b.double()
    errors = {}
    for tf32 in (False, True):
        with arithmetic(CUDA, tf32):
            errors[tf32] = float((a @ b - exact).abs().max())
    assert errors[False] < 1e-3 < 10 * errors[False] < errors[True]


@pytest.mark.cuda
@on_a_card
@pytest.mark.parametrize("on_host", [False, True])
def test_equal_bits_on_a_card(on_host, monkeypatch):
    """Gradients of a step, twice; cuBLAS must have been told before the tests began."""
    try:
        require_repeatable(CUDA)
    except ValueError as error:
        pytest.skip(str(error))
    potential = zoo.POTENTIALS["mixed cutoffs"]().to(CUDA)
    examples = Examples(zoo.MIXED * 8, potential.cutoff, CUDA)
    examples.store = FeatureStore(potential.descriptor, examples.atoms, torch.float64, on_host=on_host)
    step = Step(potential, WeightTable(potential.networks))
    found = []
    for _ in range(3):
        with arithmetic(CUDA, deterministic=True):
            batch, labels, features = examples.take(range(len(examples)))
            terms = step(batch, labels, LOSS, forces=True, stress=True, features=features)
            found.append((terms.total.clone(), step.weights.weights.grad.clone()))
    assert all(torch.equal(a, b) for again in found[1:] for a, b in zip(again, found[0], strict=True))
