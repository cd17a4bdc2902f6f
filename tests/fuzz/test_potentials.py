"""Mutated potential files, states of trainings and folders of n2p2: loaded, or refused with the file's name."""

import io
import pickle
import zipfile
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interfaces.trained import ethanol, molecule

from fuzz.guard import calm
from fuzz.mutations import BINARY, TEXT, cases, mutated
from mlip.interfaces.calculator import MLIPCalculator
from mlip.interfaces.n2p2.reading import read_potential
from mlip.model.checkpoint import POTENTIAL, TRAINING, load, load_content, load_potential, save


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("potentials")


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Kernels of the calculator are compiled before there is a clock."""
    atoms = molecule()
    atoms.calc = MLIPCalculator(ethanol())
    atoms.get_forces()


@cache
def whole(name):
    return (ethanol() / name).read_bytes()


@cases(60, 1600)
@given(changes=BINARY)
def test_bytes_of_potentials(folder, changes):
    path = folder / "potential.pt"
    path.write_bytes(mutated(whole("potential.pt"), changes))
    calm(lambda: load_potential(path), path.name)


@cases(20, 400)
@given(changes=BINARY)
def test_bytes_of_trainings(folder, changes):
    path = folder / "training.pt"
    path.write_bytes(mutated(whole("training.pt"), changes))
    calm(lambda: load(path, TRAINING), path.name)


@cases(20, 400)
@given(changes=BINARY)
def test_bytes_of_the_pickle_within(folder, changes):
    """Whatever the zip's check sums say, the pickle in it is read with care."""
    path = folder / "repacked.pt"
    with zipfile.ZipFile(io.BytesIO(whole("potential.pt"))) as old, zipfile.ZipFile(path, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            new.writestr(item.filename, mutated(content, changes) if item.filename.endswith("data.pkl") else content)
    calm(lambda: load_potential(path), path.name)


VALUES = [
    None, 0, -1, 1.5, 10**12, 10**400, float("nan"), float("inf"), "text", "", [], {}, [10**9], [[10**9]], [[]],
    [[8, -3]], (1, 2), {"a": [1]}, True, torch.zeros(0), torch.full((2, 2), torch.nan), torch.zeros(1).expand(10**9),
    ["tanh"] * 3, [1, 6, 8, 200], [6, 6], b"bytes",
]  # fmt: skip


@cases(60, 1600)
@given(data=st.data())
def test_values_in_potentials(folder, data):
    """Any value of the content, at any depth, is another or is missing."""
    content = torch.load(io.BytesIO(whole("potential.pt")), weights_only=True)
    for _ in range(data.draw(st.integers(1, 2))):
        spot, key = content, data.draw(st.sampled_from(sorted(content)))
        while isinstance(spot[key], dict | list) and len(spot[key]) and data.draw(st.booleans()):
            spot = spot[key]
            key = data.draw(st.sampled_from(sorted(spot, key=str) if isinstance(spot, dict) else range(len(spot))))
        if data.draw(st.integers(0, 5)):
            spot[key] = deepcopy(data.draw(st.sampled_from(VALUES)))
        else:
            del spot[key]
    path = folder / "values.pt"
    torch.save(content, path)

    def use():
        calculator = MLIPCalculator(path)
        atoms = molecule()
        atoms.calc = calculator
        if calculator.potential.cutoff < 20:
            atoms.get_forces()
        return calculator

    calm(use, path.name, "potential")


@cache
def n2p2():
    folder = Path(__file__).parents[1] / "reference" / "n2p2" / "t2_3_9_cos_scalecenter"
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".data", ".nn")}


@cases(60, 1600)
@given(name=st.sampled_from(["input.nn", "input.nn", "input.nn", "scaling.data", "weights.006.data"]), changes=TEXT)
def test_folders_of_n2p2(folder, name, changes):
    folder = folder / "n2p2"
    folder.mkdir(exist_ok=True)
    for other, content in n2p2().items():
        (folder / other).write_bytes(mutated(content, changes) if other == name else content)
    calm(lambda: read_potential(folder, "eV-Ang"), "n2p2")


RAN = []


def ran(text):
    RAN.append(text)


class Code:
    """Unpickling this runs code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("kind", [POTENTIAL, TRAINING])
@pytest.mark.parametrize("way", ["torch", "legacy", "pickle", "state"])
def test_code_never_runs(tmp_path, way, kind):
    touched, path = tmp_path / "touched", tmp_path / "code.pt"
    content = {"format": kind, "version": 1, "elements": Code(touched), "state": {"x": Code(touched)}}
    if way == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    elif way == "state":
        save(path, kind, {"state": {"x": torch.zeros(1)}, "provenance": Code(touched)})
    else:
        torch.save(content, path, _use_new_zipfile_serialization=way == "torch")
    assert calm(lambda: load(path, kind), path.name) is None
    assert calm(lambda: load_content(path), path.name) is None
    assert not touched.exists()
    pickle.loads(pickle.dumps(Code(touched))).close()
    assert touched.exists(), "the file is a real threat"
