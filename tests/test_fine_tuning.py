"""Training from a potential: what it predicts at the start, what is taken from it, and what is refused."""

import json
import signal

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write
from interfaces.command import mlip, refused
from interfaces.trained import ETHANOL, TINY, ethanol

from mlip.assembly import plan_of
from mlip.batch import collate, to_batch
from mlip.configfile import load_config
from mlip.data.read import read_structures
from mlip.evaluation import evaluate_structures
from mlip.featurization import features_by_element
from mlip.fine_tuning import continued_potential
from mlip.model.checkpoint import load_content, load_potential, save_potential
from mlip.model.evaluate import evaluate
from mlip.model.transfer import columns_of
from mlip.preparation import prepare
from mlip.training.loop import Trainer

SHORT = [text for text in TINY if not text.startswith(("model.", "data."))]
SHIFTS = {"H": -0.3, "C": 4.0, "O": -2.0, "N": 7.0}  # eV, of another method


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ethanol with energies of another level, then the same with nitrogen for oxygen, as extxyz."""
    folder = tmp_path_factory.mktemp("data")
    frames = []
    for structure in read_structures(ETHANOL)[:30]:
        atoms = Atoms(structure.numbers, structure.positions)
        atoms.arrays["forces"] = structure.forces
        atoms.info["energy"] = structure.energy + sum(SHIFTS[s] for s in atoms.symbols)
        frames.append(atoms)
    write(folder / "shifted.xyz", frames, format="extxyz")
    for atoms in frames[15:]:
        atoms.symbols[[n for n, s in enumerate(atoms.symbols) if s == "O"]] = "N"
        atoms.info["energy"] += SHIFTS["N"] - SHIFTS["O"]
    write(folder / "nitrogen.xyz", frames, format="extxyz")
    return folder


def config(folder, file, *overrides):
    path = folder / "new.yaml"
    path.write_text(
        f"run: {{dir: {folder / 'run'}, device: cpu}}\ndata: {{train: {file}, split: {{valid: 6}}}}\n"
        f"training: {{start_from: {ethanol()}}}\n",
        encoding="utf-8",
    )
    return load_config(path, [*SHORT, *overrides])


def begun(folder, file, *overrides):
    """The potential before the first step, and the one it starts from."""
    ready = prepare(config(folder, file, *overrides))
    features = features_by_element(ready.descriptor, ready.examples["train"])
    made = continued_potential(
        ready.config, ready.start, ready.descriptor, ready.references, features, ready.examples["train"]
    )
    return made, load_potential(ethanol()), ready


def errors(potential, structures):
    return evaluate_structures(potential, structures, quiet=True)[0]["all"]


def left(potential, structures):
    """What the potential leaves of the energies (eV)."""
    predicted = evaluate_structures(potential, structures, quiet=True)[1]
    return np.array([s.energy - float(p.energy) for s, p in zip(structures, predicted, strict=True)])


@pytest.mark.parametrize("scaling", ["keep", "refit"])
@pytest.mark.parametrize("file", ["shifted.xyz", "nitrogen.xyz"])
def test_forces_at_the_start_are_those_of_the_old_potential(tmp_path, data, scaling, file):
    made, old, ready = begun(tmp_path, data / file, f"training.fine_tuning.scaling={scaling}")
    same = [s for s in ready.parts.train if 7 not in s.numbers]
    one = evaluate_structures(made, same, quiet=True)[1]
    other = evaluate_structures(old, same, quiet=True)[1]
    scale = max(float(p.forces.abs().max()) for p in other)
    assert max(float((p.forces - q.forces).abs().max()) for p, q in zip(one, other, strict=True)) < 2e-6 * scale
    kept = torch.equal(made.scaling.scale[made.elements.index(6)][:1], old.scaling.scale[1][:1])
    assert kept == (scaling == "keep")


def test_kept_reference_energies_keep_the_energies(tmp_path, data):
    made, old, ready = begun(tmp_path, data / "nitrogen.xyz", "training.fine_tuning.reference_energies=keep")
    same = [s for s in ready.parts.train if 7 not in s.numbers]
    assert made.reference_energies[[0, 1, 3]].tolist() == old.reference_energies.tolist()
    one, other = (errors(p, same)["energy_mae"] for p in (made, old))
    assert one == pytest.approx(other, rel=1e-6) and one > 1.0, "the energies of the new data are of another level"
    changed = [s for s in ready.parts.train if 7 in s.numbers]
    assert abs(left(made, changed).mean()) < 1e-6, "the new element is fitted all the same"


@pytest.mark.parametrize("method", ["least_squares", "mean"])
def test_reference_energies_are_fitted_to_what_the_potential_leaves(tmp_path, data, method):
    made, old, ready = begun(tmp_path, data / "shifted.xyz", f"model.reference_energies.method={method}")
    rest = left(old, ready.parts.train)
    assert abs(rest.mean()) > 1.0
    np.testing.assert_allclose(left(made, ready.parts.train), rest - rest.mean(), atol=1e-5)


def test_given_reference_energies_are_those_of_lone_atoms(tmp_path, data):
    values = {"H": -10.0, "C": -1000.0, "O": -2000.0, "N": -1500.0}
    given = f"model.reference_energies={{method: given, values: {json.dumps(values)}}}"
    made, old, ready = begun(tmp_path, data / "nitrogen.xyz", given)
    assert made.anchored and not old.anchored
    assert made.isolated_energies().tolist() == [values[s] for s in ("H", "C", "N", "O")]
    made, old, _ = begun(tmp_path, data / "nitrogen.xyz", given, "training.fine_tuning.reference_energies=keep")
    same = [s for s in ready.parts.train if 7 not in s.numbers]
    assert errors(made, same)["energy_mae"] == pytest.approx(errors(old, same)["energy_mae"], rel=1e-6)
    assert float(made.isolated_energies()[2]) == values["N"]


def run(folder, file, *overrides, options=("--quiet",)):
    folder.mkdir(exist_ok=True)
    path = folder / "new.yaml"
    path.write_text(
        f"run: {{dir: {folder / 'run'}, device: cpu}}\ndata: {{train: {file}, split: {{valid: 6}}}}\n",
        encoding="utf-8",
    )
    return mlip("train", path, *SHORT, f"training.start_from={ethanol()}", *overrides, *options)


def test_a_stopped_fine_tuning_goes_on(tmp_path, data, monkeypatch):
    assert run(tmp_path / "whole", data / "nitrogen.xyz").status == 0
    step, done = Trainer._step, []

    def interrupted(self, *arguments):
        done.append(1)
        if len(done) == 5:
            signal.raise_signal(signal.SIGTERM)
        return step(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", interrupted)
        assert run(tmp_path / "stopped", data / "nitrogen.xyz").status == 128 + signal.SIGTERM
    folder = tmp_path / "stopped" / "run"
    text = (folder / "config.yaml").read_text(encoding="utf-8").replace(str(ethanol()), "gone")
    (folder / "config.yaml").write_text(text, encoding="utf-8")  # the old potential is not needed any more
    outcome = mlip("train", "--resume", folder, "--quiet")
    assert outcome.status == 0, outcome.err
    one, other = (load_content(tmp_path / name / "run")["state"] for name in ("stopped", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_the_run_folder_says_what_was_taken(tmp_path, data):
    outcome = run(tmp_path, data / "shifted.xyz", options=())
    assert outcome.status == 0 and f"validation before the first step, from {ethanol()}" in outcome.err
    saved = load_config(tmp_path / "run" / "config.yaml")
    assert saved.model == load_config(ethanol() / "config.yaml").model
    again = run(tmp_path / "again", data / "nitrogen.xyz", f"training.start_from={tmp_path / 'run'}")
    assert again.status == 0, again.err
    assert load_potential(tmp_path / "again" / "run").elements == (1, 6, 7, 8)


def test_check_says_where_it_starts(tmp_path, data):
    assert config(tmp_path, data / "nitrogen.xyz")
    found = json.loads(mlip("check", tmp_path / "new.yaml", *SHORT, "--json").out)
    assert found["starts from"] == str(ethanol()) and found["elements"] == "H, C, N, O"


@pytest.mark.parametrize(
    ("overrides", "essentials"),
    [
        (
            ("model.descriptor=[{set: radial, cutoff: 4, count: 5}]",),
            ("model.descriptor does not make radial", "Remove model.descriptor"),
        ),
        (
            (f"{TINY[0][:-1]}, {{set: radial, cutoff: 3, count: 1}}]",),
            ("model.descriptor makes radial", "cutoff 3, which training.start_from", "does not have"),
        ),
        (("model.networks.hidden=[9]",), ("model.networks gives H [9]", "[8]", "Remove model.networks")),
        (
            ("model.networks={hidden: [8], activation: [silu, tanh]}",),
            ("model.networks gives H [8], ['silu', 'tanh']", "has [8], silu", "Remove model.networks"),
        ),
        (
            ("training.start_from=null", "training.fine_tuning.scaling=refit"),
            ("training.start_from; give that as well",),
        ),
        (("training.start_from=nowhere",), ("training.start_from: nowhere", "no such file")),
    ],
)
def test_what_does_not_fit(tmp_path, data, overrides, essentials):
    assert refused(run(tmp_path, data / "nitrogen.xyz", *overrides), *essentials)
    assert not (tmp_path / "run").exists()


def test_its_own_folder_is_no_start(tmp_path, data):
    assert run(tmp_path, data / "shifted.xyz", "training.epochs=1").status == 0
    outcome = run(tmp_path, data / "shifted.xyz", f"training.start_from={tmp_path / 'run'}", "run.overwrite=true")
    assert refused(outcome, "the potential of run.dir itself")
    assert load_potential(tmp_path / "run")


def test_listed_functions_get_company_for_new_elements(tmp_path, data):
    """Where nobody knows which sets a potential was made by, functions of a new element are chosen from the data."""
    save_potential(tmp_path / "bare.pt", load_potential(ethanol()), {})
    start = f"training.start_from={tmp_path / 'bare.pt'}"
    made, old, _ = begun(tmp_path, data / "nitrogen.xyz", start)
    count = len(old.descriptor.functions)
    assert made.descriptor.functions[:count] == old.descriptor.functions
    assert all(7 in function.neighbors for function in made.descriptor.functions[count:])
    assert len(made.descriptor.functions) > count
    structures = read_structures(data / "shifted.xyz")[:3]
    batch = collate([to_batch(structure, made.cutoff)[0] for structure in structures])
    forces = evaluate(old, batch).forces
    assert (evaluate(made, batch).forces - forces).abs().max() < 1e-5 * forces.abs().max()
    outcome = run(tmp_path, data / "shifted.xyz", start)
    assert outcome.status == 0, outcome.err
    sets = [text for text in TINY if text.startswith("model.")]
    outcome = run(tmp_path / "sets", data / "nitrogen.xyz", start, *sets)
    assert outcome.status == 0, outcome.err


def test_learning_goes_on_from_there(tmp_path, data):
    """As many epochs again end lower than the ones before began."""
    assert run(tmp_path, data / "shifted.xyz").status == 0
    first = [float(line.split(",")[2]) for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]]
    old = [float(line.split(",")[2]) for line in (ethanol() / "metrics.csv").read_text().splitlines()[1:]]
    assert first[0] < old[0] and first[-1] < first[0]


def test_every_learning_rate_is_multiplied(tmp_path, data):
    second = "training.second_stage={start: 3, learning_rate: 1e-4}"
    given = config(tmp_path, data / "shifted.xyz", second, "training.fine_tuning.rate=0.25")
    assert [stage.learning_rate for stage in plan_of(given, collate([])).stages] == [0.25 * 2e-3, 0.25 * 1e-4]
    alone = config(tmp_path, data / "shifted.xyz", second, "training.start_from=null")
    assert [stage.learning_rate for stage in plan_of(alone, collate([])).stages] == [2e-3, 1e-4]


@pytest.mark.parametrize("file", ["shifted.xyz", "nitrogen.xyz"])
def test_ranges_are_those_of_both_training_sets(tmp_path, data, file):
    """Where the new data have no nitrogen, functions of it were zero; oxygen is in both."""
    made, start, ready = begun(tmp_path, data / file)
    new = features_by_element(ready.descriptor, ready.examples["train"])
    columns = columns_of(start.descriptor.functions, made.descriptor.functions)
    others = [d for d in range(len(made.descriptor.functions)) if d not in columns]
    for row, number in enumerate(made.elements):
        low, high = made.ranges.lowest[row], made.ranges.highest[row]
        assert (low <= new[row].amin(dim=0)).all() and (high >= new[row].amax(dim=0)).all()
        if number not in start.elements:
            assert torch.equal(low, new[row].amin(dim=0))
            continue
        old = start.elements.index(number)
        expected = torch.minimum(start.ranges.lowest[old], new[row].amin(dim=0)[columns])
        assert torch.equal(low[columns], expected)
        assert (low[others] <= 0).all() and (high[others] >= 0).all()
