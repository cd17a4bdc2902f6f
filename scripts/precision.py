"""Errors of energies and forces when matrix products of the networks are rounded: float32, TF32, bfloat16, float16.

    python scripts/precision.py
    python scripts/precision.py --potential runs/ethanol

Trains the potential of configs/ethanol.yaml for some epochs, or takes one that is there, and compares predictions for
structures that it was not trained on with those of the same weights in float64. On a CPU the rounding is emulated: TF32
rounds the factors of matrix products to 10 bits of mantissa, or cuts the others off, and adds up in float32; bfloat16
(7 bits) and float16 (10 bits, and the range of float16) round what comes out as well, and products of a matrix and a
vector too, as torch's autocast does. Elementwise operations stay in float32, so that half precision throughout would be
worse. On a GPU float32 and TF32 are what the device does. The last line is a JSON object with every figure.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mlip.arithmetic import arithmetic
from mlip.configfile import load_config
from mlip.data.read import read_structures
from mlip.descriptors.store import FeatureStore
from mlip.device import configure_cpu, device_of
from mlip.model.checkpoint import load_potential
from mlip.model.evaluate import evaluate
from mlip.model.potential import Potential
from mlip.run import train
from mlip.training.examples import Examples

ROOT = Path(__file__).parents[1]
MATRIX = {"aten::mm": (0, 1), "aten::addmm": (1, 2), "aten::bmm": (0, 1)}  # which arguments are factors
VECTOR = {"aten::addmv": (1, 2), "aten::mv": (0, 1)}  # never in tensor cores


def tf32(tensor: Tensor) -> Tensor:
    """The nearest number with 10 bits of mantissa; of two the one away from zero, as NVIDIA's conversion (rna)."""
    return ((tensor.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def cut_off(tensor: Tensor) -> Tensor:
    """The same without its other bits."""
    return (tensor.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)


def rounded_to(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Rounding to a type and back."""
    return lambda tensor: tensor.to(dtype).to(tensor.dtype)


class RoundedProducts(TorchDispatchMode):
    """Matrix products of float32 while this lasts: their factors, and their results if `results`, are rounded."""

    def __init__(self, rounding: Callable[[Tensor], Tensor], *, results: bool) -> None:
        super().__init__()
        self.rounding, self.results = rounding, results
        self.factors = MATRIX | VECTOR if results else MATRIX
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        """Round what a product gets, and perhaps what it gives."""
        places = self.factors.get(func._schema.name, ())
        if not places or args[places[0]].dtype != torch.float32:
            return func(*args, **(kwargs or {}))
        self.count += 1
        result = func(*(self.rounding(a) if n in places else a for n, a in enumerate(args)), **(kwargs or {}))
        return result.copy_(self.rounding(result)) if self.results else result


Taken = tuple[Tensor, Tensor]  # eV per atom (S,), eV/Å (3N,)


class Way(NamedTuple):
    """How a row of the table is computed."""

    context: AbstractContextManager[Any]
    kept: bool = False  # whether forces come from kept Jacobians, so that J^T g is a matrix product as well


def ways_of(device: torch.device) -> dict[str, Way]:
    """What is compared with float64."""

    def rounded(kept: bool) -> Way:
        real = device.type == "cuda"
        return Way(arithmetic(device, tf32=True) if real else RoundedProducts(tf32, results=False), kept)

    emulated = {} if device.type == "cuda" else {"TF32, cut off": Way(RoundedProducts(cut_off, results=False))}
    return {
        "float32": Way(arithmetic(device)),
        "TF32": rounded(False),
        "TF32, kept features": rounded(True),
        **emulated,
        "float16": Way(RoundedProducts(rounded_to(torch.float16), results=True)),
        "bfloat16": Way(RoundedProducts(rounded_to(torch.bfloat16), results=True)),
    }


def predictions(potential: Potential, examples: Examples, way: Way) -> Taken:
    """Energies per atom and force components of all structures."""
    energies, forces = [], []
    store = FeatureStore(potential.descriptor, examples.atoms, potential.dtype) if way.kept else None
    with way.context:
        for chunk in examples.chunks():
            batch = examples.take(chunk)[0]
            features = store.take(chunk).gathered() if store else None  # gathered, it is torch that multiplies
            found = evaluate(potential, batch, stress=False, features=features)
            assert found.forces is not None
            energies.append((found.energy / torch.bincount(batch.structure)).cpu())
            forces.append(found.forces.double().flatten().cpu())
    if isinstance(way.context, RoundedProducts):
        assert way.context.count, "nothing was rounded"
    return torch.cat(energies), torch.cat(forces)


def figures(found: Taken, expected: Taken) -> dict[str, float]:
    """Mean absolute and largest differences, in meV per atom and meV/Å."""
    parts = [1e3 * (a - b).abs() for a, b in zip(found, expected, strict=True)]
    return {
        f"{name}_{kind}": float(value)
        for name, part in zip(("energy", "forces"), parts, strict=True)
        for kind, value in (("mean", part.mean()), ("largest", part.max()))
    }


def trained(data: Path, left_out: int, epochs: int, device: torch.device, folder: Path) -> Path:
    """A run of configs/ethanol.yaml without the last structures."""
    values = [
        f"run.dir={folder}", "run.overwrite=true", f"run.device={device}", f"data.train={data}",
        f"data.index=:-{left_out}", "data.split.test=null", f"training.epochs={epochs}",
    ]  # fmt: skip
    train(load_config(ROOT / "configs" / "ethanol.yaml", values), quiet=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--potential", type=Path, metavar="PATH", help="run folder or potential file (default: train)")
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "ethanol_xtb.npz", help="(default: the bundled)")
    parser.add_argument("--structures", type=int, default=200, help="last ones of the data, compared (default: 200)")
    parser.add_argument("--epochs", type=int, default=40, help="of the training (default: 40)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    arguments = parser.parse_args()
    configure_cpu(1)
    device = device_of(arguments.device)
    structures = read_structures(arguments.data)[-arguments.structures :]
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.potential or trained(
            arguments.data, len(structures), arguments.epochs, device, Path(folder) / "run"
        )
        exact, single = (load_potential(path, device=device, dtype=dtype) for dtype in (torch.float64, torch.float32))
    examples = Examples(structures, exact.cutoff, device)
    expected = predictions(exact, examples, Way(nullcontext()))
    labels = examples.labels
    assert labels.forces is not None
    known = labels.energy / torch.bincount(examples.atoms.whole.structure), labels.forces.flatten()
    rows = {"its own errors": figures(expected, known)}
    rows |= {name: figures(predictions(single, examples, way), expected) for name, way in ways_of(device).items()}
    print(f"{'':20}{'energy (meV/atom)':>22}{'forces (meV/Å)':>22}\n{'':20}" + f"{'mean':>11}{'largest':>11}" * 2)
    for name, row in rows.items():
        print(f"{name:20}" + "".join(f"{value:11.2g}" for value in row.values()))
    about = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu, TF32 emulated"
    print(json.dumps({"structures": len(structures), "device": about, "torch": torch.__version__, "errors": rows}))


if __name__ == "__main__":
    main()
