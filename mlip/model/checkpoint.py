"""Files that hold a potential or the state of a training: plain values and tensors, never code."""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import function_from_dict
from mlip.durable import write_whole
from mlip.model.atomic import AtomicModel, NoModel
from mlip.model.density import FeatureDensity
from mlip.model.networks import AtomicNetworks, short_activation
from mlip.model.plain import require_plain, require_real
from mlip.model.potential import Calibration, Potential
from mlip.model.ranges import FeatureRanges
from mlip.model.repulsion import repulsion_from
from mlip.model.scaling import FeatureScaling
from mlip.structure import CHEMICAL_ELEMENTS

POTENTIAL, TRAINING = "mlip potential", "mlip training"
# Of what is written; 1 knew no repulsion; 2 no ranges, one activation for each element, fewer functions; 3 only
# networks.
VERSION = 4
POTENTIAL_FILE = "potential.pt"


def save_potential(path: Path, potential: Potential, provenance: dict[str, Any]) -> None:
    """Write a potential: constructor values, weights, units, version, and where it came from."""
    save(path, POTENTIAL, {**potential_content(potential), "provenance": provenance})


def load_potential(
    path: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> Potential:
    """The potential in a file or in a run folder, ready to evaluate.

    `dtype` changes the precision of the networks and features; reference energies stay in float64.

    Raises:
        ValueError: there is no such file, or it is truncated, foreign, or from a newer version.
    """
    content = load_content(path)
    try:
        require_sense(content)
        potential = potential_from(content)
    except Exception as error:  # values of other kinds than expected fail in any way
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"{path}: the potential in it is incomplete or wrong ({reason}). Copy the file again"
        ) from error
    if dtype is not None:
        potential.atomic.to(dtype)
    return potential.to(device=device).requires_grad_(False).eval()


def load_content(path: str | Path) -> dict[str, Any]:
    """Everything a potential's file holds, with its provenance; `path` is the file or a run folder."""
    path = Path(path)
    return load(path / POTENTIAL_FILE if path.is_dir() else path, POTENTIAL)


def fingerprint(potential: Potential) -> str:
    """A hash of everything that makes a potential's predictions."""
    content = potential_content(potential)
    plain = [
        value for name, value in content.items() if name not in ("state", "ranges", "density") and value is not None
    ]
    digest = hashlib.sha256(repr(plain).encode())
    for name, tensor in content["state"].items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def potential_content(potential: Potential) -> dict[str, Any]:
    """Plain values and tensors that make the same potential again with `potential_from`."""
    committee = {"members": potential.members, "calibration": list(potential.calibration)}
    return {
        **(committee if potential.members > 1 else {}),
        **({} if potential.density is None else {"density": potential.density.tables()}),
        "units": {"energy": "eV", "length": "Ang"},
        "elements": list(potential.elements),
        "functions": [function.as_dict() for function in potential.descriptor.functions],
        **_model_content(potential.atomic),
        "energy_scale": potential.energy_scale,
        "anchored": potential.anchored,
        "repulsion": None if potential.repulsion is None else potential.repulsion.as_dict(),
        "dtype": str(potential.dtype).removeprefix("torch."),
        "ranges": {name: values.detach().cpu().clone() for name, values in potential.ranges.named_buffers()},
        "state": {name: tensor.detach().cpu().clone() for name, tensor in potential.state_dict().items()},
    }


def potential_from(content: dict[str, Any]) -> Potential:
    """The inverse of `potential_content`."""
    elements = content["elements"]
    functions = [function_from_dict(values) for values in content["functions"]]
    potential = Potential(
        ACSF(elements, functions),
        FeatureScaling(len(elements), len(functions)),
        _model_from(content),
        [0.0] * len(elements),
        energy_scale=content["energy_scale"],
        anchored=content["anchored"],
        calibration=Calibration(*content.get("calibration", Calibration())),
        repulsion=repulsion_from(content.get("repulsion"), elements),
        ranges=FeatureRanges(**content["ranges"]) if "ranges" in content else None,
        density=FeatureDensity(**content["density"]) if "density" in content else None,
    )
    potential.atomic.to(getattr(torch, content["dtype"]))
    potential.load_state_dict(content["state"])
    return potential


def _model_content(model: AtomicModel) -> dict[str, Any]:
    """What makes an atomic model again with `_model_from`, but for its tensors."""
    if isinstance(model, AtomicNetworks):
        return {"hidden": model.hidden, "activation": [short_activation(names) for names in model.activation]}
    return {"model": "nothing"}


def _model_from(content: dict[str, Any]) -> AtomicModel:
    if content.get("model") == "nothing":
        return NoModel()
    widths = content["hidden"], content["activation"]
    return AtomicNetworks(len(content["functions"]), *widths, members=content.get("members", 1))


def require_sense(content: dict[str, Any]) -> None:
    """See that values which stand in the file belong to its weights, before room is made for these.

    Raises:
        ValueError: they do not, or a number is not finite.
    """
    if content["dtype"] not in ("float32", "float64"):
        raise ValueError(f"dtype is {content['dtype']!r}; expected float32 or float64")
    numbers = {"energy_scale": content["energy_scale"], "calibration": sum(content.get("calibration", ()))}
    for name, value in numbers.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r}; expected a finite number")
    elements, state = content["elements"], content["state"]
    if not all(1 <= number <= CHEMICAL_ELEMENTS for number in elements) or sorted(set(elements)) != list(elements):
        raise ValueError(f"elements are {elements}; expected atomic numbers in ascending order")
    if not all(torch.isfinite(tensor).all() for tensor in state.values()):
        raise ValueError("a weight is not a finite number")
    if "hidden" in content:
        _require_weights(content)


def _require_weights(content: dict[str, Any]) -> None:
    """See that there are as many weights as the layers of the networks have."""
    elements, functions, hidden, state = (content[name] for name in ("elements", "functions", "hidden", "state"))
    widths = [[len(functions), *mine, 1] for mine in hidden]
    wanted = content.get("members", 1) * sum((a + 1) * b for mine in widths for a, b in pairwise(mine))
    held = sum(tensor.numel() for name, tensor in state.items() if name.startswith("atomic."))
    if len(hidden) != len(elements) or min(map(min, widths)) < 1 or wanted != held:
        raise ValueError(f"networks for {len(elements)} elements with layers {hidden}; there are {held} weights")


def save(path: Path, kind: str, content: dict[str, Any], previous: Path | None = None) -> None:
    """Write a file whole or not at all: the old one stays until the new one is safely on disk, then as `previous`.

    Raises:
        ValueError: the disk is full or cannot be written.
    """
    memory = io.BytesIO()
    torch.save({"format": kind, "version": VERSION, **content}, memory)
    write_whole(path, memory.getvalue(), previous)


def load(path: Path, kind: str) -> dict[str, Any]:
    """Read what `save` wrote; no code in the file is ever run.

    Raises:
        ValueError: there is no such file, or it is truncated, of another kind, or from a newer version.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected an {kind} file or a run folder with {POTENTIAL_FILE} in it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about pickles it then refuses
            require_plain(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
            require_real(content)
    except Exception as error:  # a damaged pickle fails in any way
        reason = (str(error) or type(error).__name__).splitlines()[0][:100]
        raise ValueError(f"{path}: not an {kind} file, or damaged ({reason}). Copy it again") from error
    if not isinstance(content, dict) or content.get("format") != kind:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path}: holds {found!r}; expected an {kind} file")
    if not isinstance(content.get("version"), int):
        raise ValueError(f"{path}: has no version; expected an {kind} file. Copy it again")
    if content["version"] > VERSION:
        raise ValueError(
            f"{path}: version {content['version']} of the format; this mlip reads up to {VERSION}. Update mlip"
        )
    if content["version"] < 4 and isinstance(content.get("state"), dict):
        content["state"] = {_new_name(name): value for name, value in content["state"].items()}
    return content


def _new_name(name: str) -> str:
    """What a weight is called since version 4."""
    old, new = "networks.", "atomic."
    return new + name.removeprefix(old) if name.startswith(old) else name
