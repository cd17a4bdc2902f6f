"""Gaussian processes through the command line: what networks can do, and what is not for them."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read, write
from interfaces.command import mlip, refused
from interfaces.trained import ALCU, ETHANOL, molecule
from interfaces.trained import ethanol as networks

from mlip.batch import collate, to_batch
from mlip.config import Config
from mlip.gpr.estimate import Size
from mlip.interfaces.calculator import MLIPCalculator
from mlip.model.checkpoint import fingerprint, load_content, load_potential, save
from mlip.model.evaluate import evaluate
from mlip.model.kernels import AtomicKernels
from mlip.model.uncertainty import spread
from mlip.regression import planned
from mlip.structure import Structure

SMALL = (
    "model.descriptor=[{set: log_normal, cutoff: 4, count: 3}, {set: axilrod_teller, cutoff: 4, shells: 1, degree: 2}]",
    "model.gpr={hyperparameter_structures: 6, inducing: 60, variance_points: 40}",
    "data.index=:28",
    "data.split={valid: 8, test: 8}",
    "run.threads=1",
)
PARTS = ("train", "valid", "test")
_FOLDER = tempfile.TemporaryDirectory(prefix="mlip-gpr-")


def train(folder, *overrides, data=ETHANOL, options=("--quiet",)):
    config = folder / "gpr.yaml"
    config.write_text(f"run: {{dir: {folder / 'run'}}}\ndata: {{train: {data}}}\nmodel: gpr\n", encoding="utf-8")
    return mlip("train", config, *SMALL, *overrides, *options)


@cache
def trained(form):
    folder = Path(_FOLDER.name) / form
    folder.mkdir()
    outcome = train(folder, f"model.gpr.form={form}", options=())
    assert outcome.status == 0, outcome.err
    return folder / "run", outcome


def results_of(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def batch_of(count=3):
    with np.load(ETHANOL) as file:
        structures = [Structure(file["z"], positions) for positions in file["R"][-count:].astype(float)]
    return collate([to_batch(structure, 4.0)[0] for structure in structures])


FORMS = pytest.mark.parametrize("form", ["full", "sparse"])


@FORMS
def test_a_run(form):
    folder, outcome = trained(form)
    assert f"Gaussian process: {form}, " in outcome.err and "GB" in outcome.err and "best epoch" not in outcome.out
    results = results_of(folder)
    assert results["best_epoch"] is None and results["gpr"]["form"] == form
    assert len(results["gpr"]["lengths"]) == 3 and results["gpr"]["labels"] == 12 * (1 + 27 - 6)
    assert results["gpr"]["environments"] == (12 * 9 if form == "full" else 60)
    assert results["calibration"]["energy"] > 0 and 0.3 < results["valid"]["forces_within_1_std"] < 1
    if form == "full":
        assert results["train"]["forces_mae"] < 1e-3
    assert results["test"]["forces_mae"] < 0.6
    assert {"config.yaml", "potential.pt", "calibration.csv", "split.json"} < {path.name for path in folder.iterdir()}
    assert not (folder / "metrics.csv").exists()


@FORMS
def test_evaluate(form, tmp_path):
    folder, _ = trained(form)
    found = json.loads(
        mlip("evaluate", folder, ETHANOL, "data.index=:28", "--json", "--output", tmp_path / "p.xyz").out
    )["all"]
    results = results_of(folder)
    for name in ("energy_mae", "forces_mae", "energy_std_mean"):
        mean = sum(results[part][name] * results[part]["structures"] for part in PARTS) / 28
        assert found[name] == pytest.approx(mean, rel=1e-6, abs=1e-8)
    frames = read(tmp_path / "p.xyz", ":")
    assert len(frames) == 28 and min(atoms.info["mlip_energy_std"] for atoms in frames) >= 0
    assert frames[0].arrays["mlip_forces_std"].shape == (9, 3)


@FORMS
def test_dynamics(form, tmp_path):
    folder, _ = trained(form)
    write(tmp_path / "start.xyz", molecule())
    output = tmp_path / "md.xyz"
    ran = mlip("md", folder, tmp_path / "start.xyz", "--steps", 8, "--timestep", 0.2, "--output", output, "--json")
    assert ran.status == 0, ran.err
    atoms = molecule()
    atoms.calc = MLIPCalculator(load_potential(folder))
    atoms.get_potential_energy()
    force, step = atoms.get_forces()[2, 1], 1e-4
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[2, 1] += sign * step
        moved.calc = atoms.calc
        energies.append(moved.get_potential_energy())
    assert force == pytest.approx((energies[1] - energies[0]) / (2 * step), abs=1e-5)


def test_collecting_by_spread(tmp_path):
    write(tmp_path / "start.xyz", molecule())
    output, pool = tmp_path / "md.xyz", tmp_path / "pool.xyz"
    outcome = mlip(
        "md", trained("full")[0], tmp_path / "start.xyz", "--steps", 20, "--interval", 2, "--output", output,
        "--collect", pool, "--collect-by", "spread", "--quiet",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert len(read(pool, ":")) >= 1


def test_resume(tmp_path):
    """A finished run is made again with the same weights, an unfinished one from its config."""
    folder = shutil.copytree(trained("full")[0], tmp_path / "run")
    before = fingerprint(load_potential(folder))
    assert mlip("train", "--resume", folder, "--quiet").status == 0
    assert fingerprint(load_potential(folder)) == before
    for name in ("potential.pt", "results.json"):
        (folder / name).unlink()
    assert mlip("train", "--resume", folder, "--quiet").status == 0
    assert fingerprint(load_potential(folder)) == before
    assert results_of(folder)["gpr"] == results_of(trained("full")[0])["gpr"]


@FORMS
def test_report(form, tmp_path):
    folder = shutil.copytree(trained(form)[0], tmp_path / "run")
    outcome = mlip("report", folder)
    assert outcome.status == 0, outcome.err
    page = (folder / "report.html").read_text(encoding="utf-8")
    for text in ("Gaussian process", form, "squared exponential", "Length scales", "Uncertainty", "float64"):
        assert text in page, text
    assert "Hidden layers" not in page and "smaller network" not in page + outcome.err


@FORMS
def test_the_file_keeps_every_bit(form, tmp_path):
    potential = load_potential(trained(form)[0])
    content = load_content(trained(form)[0])
    save(tmp_path / "again.pt", "mlip potential", {k: v for k, v in content.items() if k not in ("format", "version")})
    again = load_potential(tmp_path / "again.pt")
    assert isinstance(again.atomic, AtomicKernels) and (again.atomic.slopes is None) == (form == "sparse")
    assert fingerprint(again) == fingerprint(potential) and again.calibration == potential.calibration
    for function in (evaluate, spread):
        for one, other in zip(function(again, batch_of()), function(potential, batch_of()), strict=True):
            assert one is other is None or torch.equal(one.nan_to_num(), other.nan_to_num())


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.update({"atomic.points.0": state["atomic.points.0"][:, 1:]}),
        lambda state: state.update({"atomic.weights.1": state["atomic.weights.1"][1:]}),
        lambda state: state.update({"atomic.slopes.2": state["atomic.slopes.2"][1:]}),
        lambda state: state.update({"atomic.slopes.2": state["atomic.slopes.2"][:, 1:]}),
        lambda state: state.pop("atomic.weights.2"),
        lambda state: state.pop("atomic.projections.0"),
        lambda state: state.update({"atomic.projections.0": state["atomic.projections.0"][1:]}),
        lambda state: state.pop("atomic.factors.1"),
        lambda state: state.update({"atomic.factors.1": state["atomic.factors.1"][1:]}),
        lambda state: state.update({"atomic.factors.0": state["atomic.factors.0"][1:, 1:]}),
        lambda state: state["atomic.weights.0"].fill_(float("nan")),
    ],
)
def test_a_damaged_file(damage, tmp_path):
    content = load_content(trained("full")[0])
    damage(content["state"])
    save(
        tmp_path / "damaged.pt", "mlip potential", {k: v for k, v in content.items() if k not in ("format", "version")}
    )
    assert refused(mlip("evaluate", tmp_path / "damaged.pt", ETHANOL), "damaged.pt", "incomplete or wrong")


def test_what_is_refused(tmp_path):
    folder = trained("full")[0]
    assert refused(train(tmp_path, "model.committee.members=3"), "no committee of it", "committee.members")
    assert refused(train(tmp_path, f"training.start_from={networks()}"), "training.start_from", "model.kind is gpr")
    assert refused(train(tmp_path, "model.gpr.kernel={name: polynomial, zeta: 2.5}"), "zeta")
    assert refused(train(tmp_path, "model.gpr.kernel=cubic"), "squared_exponential")
    assert refused(mlip("evaluate", folder, ETHANOL, "--dtype", "float32"), "only networks", "float64")
    write(tmp_path / "start.xyz", molecule())
    outcome = mlip("md", folder, tmp_path / "start.xyz", "--output", tmp_path / "md.xyz", "--dtype", "float32")
    assert refused(outcome, "only networks", "float64")
    config = tmp_path / "tuned.yaml"
    config.write_text(f"run: {{dir: {tmp_path / 'tuned'}}}\ndata: {{train: {ETHANOL}}}\n", encoding="utf-8")
    assert refused(mlip("train", config, *SMALL[2:], "--quiet", f"training.start_from={folder}"), "networks")
    assert refused(mlip("export", "lammps", folder, tmp_path / "lammps"), "model.kind is not pair")
    radial = ("model.descriptor=[{set: radial, cutoff: 4, count: 4}]", "model.gpr.variance_points=0")
    (tmp_path / "radial").mkdir()
    assert train(tmp_path / "radial", *radial).status == 0
    exported = mlip("export", "n2p2", tmp_path / "radial" / "run", tmp_path / "n2p2")
    assert refused(exported, "no networks", "model.kind=network") and not (tmp_path / "n2p2").exists()


def test_too_large(tmp_path):
    outcome = train(tmp_path, "model.gpr.form=full", "model.gpr.memory_limit=0.0003")
    assert refused(outcome, "model.gpr.form is full", "memory_limit is 0.0003 GB", "structures like these", "sparse")
    outcome = train(tmp_path, "model.gpr.form=auto", "model.gpr.memory_limit=0.0003")
    assert refused(outcome, "60 inducing environments", "Within it fit", "model.gpr.inducing")
    fits = int(outcome.err.split("Within it fit ")[1].split(":")[0])
    assert fits < 60
    few = "model.gpr.inducing=10", "model.gpr.memory_limit=0.0015"
    outcome = train(tmp_path, "model.gpr.form=auto", *few, options=())
    assert outcome.status == 0 and "sparse" in outcome.err and "a full one would take" in outcome.err
    assert results_of(tmp_path / "run")["gpr"]["form"] == "sparse"


def test_what_is_said_to_fit_does():
    """Both numbers of the messages, used as they ask to, are accepted."""
    size = Size(24_950, 950, 8550, 236)

    def config(**chosen):
        return Config.model_validate(
            {"data": {"train": "x.xyz"}, "run": {"dir": "x"}, "model": {"kind": "gpr", "gpr": chosen}}
        )

    with pytest.raises(ValueError, match="Within it fit") as caught:
        planned(config(form="full", memory_limit=1.0), size)
    labels = int(str(caught.value).split("Within it fit ")[1].split()[0])
    structures = int(str(caught.value).split("about ")[1].split()[0])
    assert abs(structures - labels * 950 / 24_950) <= 1
    smaller = Size(structures * 24_950 // 950, structures, structures * 9, 236)
    assert planned(config(form="full", memory_limit=1.0), smaller)[0]
    with pytest.raises(ValueError, match=r"model\.gpr\.inducing") as caught:
        planned(config(form="sparse", memory_limit=3.0, inducing=8000), size)
    points = int(str(caught.value).split("Within it fit ")[1].split(":")[0])
    assert not planned(config(form="sparse", memory_limit=3.0, inducing=points), size)[0]


def test_over_a_baseline_and_isolated_atoms(tmp_path):
    """Labels are met by the sum; lone atoms have their energies, which the process has to meet as well."""
    values = "{H: -10.9, C: -48.2, O: -103.1}"
    energies = f"model.reference_energies={{method: given, values: {values}}}"
    assert train(tmp_path, "model.baseline=morse", energies, "model.gpr.form=full").status == 0
    results = results_of(tmp_path / "run")
    assert results["train"]["energy_mae"] < 5e-3 and results["train"]["forces_mae"] < 5e-3
    assert results["test"]["energy_mae"] < 0.2
    potential = load_potential(tmp_path / "run")
    assert potential.baseline is not None and potential.anchored
    np.testing.assert_allclose(potential.isolated_energies(), [-10.9, -48.2, -103.1], rtol=1e-14)
    found = json.loads(mlip("evaluate", tmp_path / "run", ETHANOL, "data.index=:28", "--json").out)["all"]
    mean = sum(results[part]["forces_mae"] * results[part]["structures"] for part in PARTS) / 28
    assert found["forces_mae"] == pytest.approx(mean, rel=1e-6)


def test_a_crystal_with_stress(tmp_path):
    kernel = "model.gpr.kernel={name: rational_quadratic, alpha: 1.5}"
    noise = "model.gpr={hyperparameters: given, noise: {energy: 1e-6, forces: 1e-5, stress: 1e-7}, form: full}"
    few = "data.index=:12", "data.split={valid: 3, test: 3}"
    assert train(tmp_path, noise, kernel, *few, data=ALCU).status == 0
    results = results_of(tmp_path / "run")
    sizes = [len(read(ALCU, n)) for n in json.loads((tmp_path / "run" / "split.json").read_text())["train"]]
    assert results["gpr"]["labels"] == sum(1 + 3 * size - 3 + 6 for size in sizes)
    assert results["train"]["stress_mae"] < 1e-4 and results["test"]["stress_mae"] > 0


def test_structures_too_large_for_the_variance(tmp_path):
    """Dynamics and evaluation go on without it; who asks for it is told."""
    folder, _ = trained("sparse")
    atoms = Atoms("CHH" * 90, np.random.default_rng(1).random((270, 3)) * 90)
    calculator = MLIPCalculator(folder)
    assert np.isfinite(calculator.get_property("energy", atoms))
    with pytest.raises(ValueError, match="has 270 atoms; a Gaussian process has standard deviations for up to 256"):
        calculator.get_property("energy_std", atoms)
    write(tmp_path / "gas.xyz", atoms)
    done = mlip(
        "md", folder, tmp_path / "gas.xyz", "--steps", 2, "--largest-force", 1e6, "--output", tmp_path / "md.xyz"
    )
    assert done.status == 0, done.err
    logs = [path.read_text(encoding="utf-8") for path in tmp_path.iterdir() if path.suffix in (".csv", ".log")]
    assert logs and not any("energy_std" in log for log in logs)
    atoms.info["energy"] = 0.0
    write(tmp_path / "gas.xyz", atoms)
    done = mlip("evaluate", folder, tmp_path / "gas.xyz")
    assert done.status == 0 and "no standard deviations: a structure has 270 atoms" in done.err
