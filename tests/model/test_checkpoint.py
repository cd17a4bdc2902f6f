import pickle

import pytest
import torch
from physics import zoo

from mlip.batch import collate, to_batch
from mlip.model import checkpoint
from mlip.model.checkpoint import POTENTIAL, TRAINING, load, load_content, load_potential, save, save_potential
from mlip.model.evaluate import evaluate

CALLED = []


def run_code(text):
    CALLED.append(text)


class Code:
    """Unpickling this runs code."""

    def __reduce__(self):
        return run_code, ("the file ran code",)


@pytest.fixture
def file(tmp_path):
    save_potential(tmp_path / "potential.pt", zoo.POTENTIALS["per center"](), {"why": "test"})
    return tmp_path / "potential.pt"


@pytest.mark.parametrize("name", zoo.POTENTIALS)
def test_round_trip_is_exact(name, tmp_path):
    potential = zoo.POTENTIALS[name]()
    save_potential(tmp_path / "p.pt", potential, {})
    again = load_potential(tmp_path / "p.pt")
    assert again.descriptor.functions == potential.descriptor.functions
    assert again.dtype == torch.float64 and again.anchored == potential.anchored and not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    batch = collate([to_batch(structure, potential.cutoff)[0] for structure in zoo.MIXED])
    for a, b in zip(evaluate(potential, batch), evaluate(again, batch), strict=True):
        assert torch.equal(a.detach().nan_to_num(9.0), b.nan_to_num(9.0))


def test_one_activation_for_each_element_is_read_as_older_versions_wrote_it():
    potential = zoo.POTENTIALS["radial"]()
    content = checkpoint.potential_content(potential)
    assert content["activation"] == ["tanh", "silu", "softplus"]
    assert checkpoint.potential_from(content).networks.activation == potential.networks.activation
    assert potential.networks.activation[2] == ["softplus", "softplus", "softplus", "linear"]


def test_weights_by_their_older_names(file):
    content = load_content(file)
    state = {name.replace("atomic.", "networks."): value for name, value in content.pop("state").items()}
    assert any(name.startswith("networks.") for name in state)
    torch.save({**content, "state": state, "version": 3}, file)
    again, expected = load_potential(file), zoo.POTENTIALS["per center"]()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in expected.state_dict().items())


def test_run_folder_will_do(file):
    assert load_content(file.parent)["provenance"] == {"why": "test"}
    assert load_potential(str(file.parent)).elements == zoo.ELEMENTS


def test_precision_can_be_chosen(file):
    single = load_potential(file, dtype=torch.float32)
    assert single.dtype == torch.float32
    assert single.reference_energies.dtype == torch.float64
    again = load_potential(file)
    assert again.dtype == torch.float64


def test_saved_while_another_precision_is_in_use(tmp_path):
    potential = zoo.POTENTIALS["radial"]()
    potential.networks.float()
    save_potential(tmp_path / "p.pt", potential, {})
    again = load_potential(tmp_path / "p.pt")
    assert again.dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(potential.parameters(), again.parameters(), strict=True))


def test_missing(tmp_path):
    for path in (tmp_path / "nothing.pt", tmp_path):
        with pytest.raises(ValueError, match="no such file; expected an mlip potential file or a run folder"):
            load_potential(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"potential\.pt: not an mlip potential file, or damaged"):
        load_potential(file)


@pytest.mark.parametrize(
    "content", [b"x", b"no potential\n" * 50, b"\x80\x02\x95", b"PK\x03\x04" + b"\0" * 100, bytes(range(256)) * 4]
)
def test_foreign_bytes(tmp_path, content):
    (tmp_path / "p.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"p\.pt: not an mlip potential file"):
        load_potential(tmp_path / "p.pt")


@pytest.mark.parametrize("content", [{"weights": torch.zeros(2)}, [1, 2], torch.zeros(3)])
def test_files_of_others(tmp_path, content):
    torch.save(content, tmp_path / "p.pt")
    with pytest.raises(ValueError, match=r"p\.pt: holds .*; expected an mlip potential file"):
        load_potential(tmp_path / "p.pt")


def test_state_of_a_training_is_no_potential(tmp_path):
    save(tmp_path / "p.pt", TRAINING, {"weights": {}})
    with pytest.raises(ValueError, match="holds 'mlip training'; expected an mlip potential file"):
        load_potential(tmp_path / "p.pt")


def test_newer_version(file, monkeypatch):
    old = checkpoint.VERSION
    monkeypatch.setattr(checkpoint, "VERSION", old + 1)
    save(file, POTENTIAL, {})
    monkeypatch.undo()
    with pytest.raises(
        ValueError, match=rf"version {old + 1} of the format; this mlip reads up to {old}\. Update mlip"
    ):
        load_potential(file)


@pytest.mark.parametrize("way", ["torch", "pickle"])
def test_code_in_a_file_never_runs(tmp_path, way):
    content = {"format": POTENTIAL, "version": 1, "elements": Code()}
    if way == "torch":
        torch.save(content, tmp_path / "p.pt")
    else:
        (tmp_path / "p.pt").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match="not an mlip potential file, or damaged"):
        load_potential(tmp_path / "p.pt")
    assert CALLED == []
    pickle.loads(pickle.dumps(Code()))
    assert CALLED.pop() == "the file ran code", "the file is a real threat"


def test_old_file_stays_until_the_new_one_is_whole(file):
    before = file.read_bytes()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save(file, POTENTIAL, {"unpicklable": lambda: None})
    assert file.read_bytes() == before
    save(file, POTENTIAL, {"n": 1})
    assert load(file, POTENTIAL)["n"] == 1
    assert [path.name for path in file.parent.iterdir()] == ["potential.pt"]
