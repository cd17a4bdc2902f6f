"""Potentials written as folders of n2p2 and read again are the same; what cannot be written is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from interfaces import n2p2_folders, n2p2_oracle
from interfaces.n2p2_reference import FOLDERS, ROOT, structures
from mlip.batch import to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import (
    AxilrodTeller,
    Bessel,
    Chebyshev,
    CompactNarrow,
    CompactRadial,
    CompactWide,
    LogNormal,
    Narrow,
    Radial,
    Shifted,
    Wide,
)
from mlip.elements import symbol
from mlip.interfaces.n2p2.reading import read_potential
from mlip.interfaces.n2p2.writing import write_potential
from mlip.model.evaluate import evaluate
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential
from mlip.model.ranges import FeatureRanges
from mlip.model.repulsion import ZBL
from mlip.model.scaling import FeatureScaling
from mlip.structure import Structure
from mlip.units import ENERGY, LENGTH

CUTOFF = {"cutoff": 4.0, "cutoff_function": "polynomial"}
Z = ((1, 1.0), (6, 6.0), (8, 8.0))
CLASSIC = (
    Radial(neighbors=(1,), eta=0.7, r_s=0.4, **CUTOFF),
    Radial(neighbors=(8,), center=6, eta=0.3, **CUTOFF),
    Radial(weights=Z, eta=0.2, r_s=1.0, **CUTOFF),
    Narrow(neighbors=(6, 1), eta=0.1, zeta=2.5, lambda_=-1.0, r_s=0.3, **CUTOFF),
    Narrow(weights=Z, center=8, eta=0.1, zeta=2.0, lambda_=1.0, **CUTOFF),
    Wide(neighbors=(1, 1), eta=0.05, zeta=4.0, lambda_=1.0, **CUTOFF),
    CompactRadial(neighbors=(6,), inner=-3.0, cutoff=3.0, shape="p2"),
    CompactWide(neighbors=(1, 6), inner=0.5, cutoff=3.5, theta_low=20.0, theta_high=150.0, shape="p3a"),
    CompactNarrow(weights=Z, inner=0.5, cutoff=3.5, theta_low=-90.0, theta_high=90.0, shape="e"),
)


def ethanol():
    atoms = structures(FOLDERS[0])[0]
    return Structure(atoms.numbers, atoms.positions, np.zeros((3, 3)), np.zeros(3, bool))


def potential(functions=CLASSIC, *, hidden=((5, 4),) * 3, activation=("tanh",) * 3, dtype=torch.float64, **options):
    """Random weights, scaling and reference energies for H, C, O."""
    generator = torch.Generator().manual_seed(7)
    elements = (1, 6, 8)
    networks = AtomicNetworks(len(functions), hidden, activation, generator, options.pop("members", 1))
    for parameter in networks.parameters():
        with torch.no_grad():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    made = Potential(
        ACSF(elements, functions),
        FeatureScaling(3, len(functions)),
        networks.to(dtype),
        [-13.7, -1029.2, -2041.8],
        energy_scale=1.7,
        **options,
    )
    shape = made.scaling.shift.shape
    made.scaling.shift.copy_(torch.rand(shape, generator=generator, dtype=torch.float64))
    made.scaling.scale.copy_(0.5 + torch.rand(shape, generator=generator, dtype=torch.float64))
    return made


def same(one, other, where=None):
    """Energies, forces and atomic energies agree to 1e-12 of their size."""
    batch, _ = to_batch(where or ethanol(), one.cutoff)
    wanted, found = (evaluate(p, batch, features=p.descriptor) for p in (one, other))
    np.testing.assert_allclose(found.energy.numpy(), wanted.energy.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(found.atomic_energies.numpy(), wanted.atomic_energies.detach().numpy(), rtol=1e-12)
    forces = wanted.forces.detach().numpy()
    np.testing.assert_allclose(found.forces.numpy(), forces, rtol=0, atol=1e-12 * max(1.0, abs(forces).max()))
    return True


KINDS = {
    "plain": {},
    "anchored": {"anchored": True},
    "other activations": {"activation": ("sigmoid", ["cosine", "linear", "tanh"], "gaussian")},
    "other shapes": {"hidden": ((5,), (3, 4, 2), ()), "activation": ("softplus", "sigmoid", "tanh")},
}


@pytest.mark.parametrize("units", ["eV-Ang", "Ha-Bohr"])
@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_again(kind, units, tmp_path):
    made = potential(**KINDS[kind])
    write_potential(made, tmp_path / "new" / "folder", units)
    back = read_potential(tmp_path / "new" / "folder", units)
    assert same(made, back)
    np.testing.assert_allclose(back.isolated_energies().numpy(), made.isolated_energies().detach().numpy(), rtol=1e-12)
    write_potential(back, tmp_path / "again", units)
    assert same(made, read_potential(tmp_path / "again", units))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_says_the_same_to_the_documentation(kind, tmp_path):
    """The oracle shares nothing with the reader: no mistake can cancel."""
    made, atoms = potential(**KINDS[kind]), ethanol()
    wanted = float(evaluate(made, to_batch(atoms, made.cutoff)[0], features=made.descriptor).energy)
    for units, energy, length in (("eV-Ang", 1.0, 1.0), ("Ha-Bohr", ENERGY["Hartree"], LENGTH["Bohr"])):
        folder = tmp_path / units
        write_potential(made, folder, units)
        text = (folder / "input.nn").read_text()
        (folder / "input.nn").write_text("\n".join(line for line in text.splitlines() if not line.startswith("#")))
        names = [symbol(int(number)) for number in atoms.numbers]
        found = energy * n2p2_oracle.energy(folder, names, atoms.positions / length, reach=12.0)
        assert found == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("folder", FOLDERS)
def test_imported_potentials_can_be_written(folder, tmp_path):
    imported = read_potential(ROOT / folder, "eV-Ang")
    write_potential(imported, tmp_path, "eV-Ang")
    back = read_potential(tmp_path, "eV-Ang")
    assert back.descriptor.functions == imported.descriptor.functions
    assert torch.equal(back.ranges.lowest, imported.ranges.lowest)
    assert torch.equal(back.ranges.highest, imported.ranges.highest)
    assert same(imported, back)


@pytest.mark.parametrize("seed", range(0, 45, 4))
def test_random_folders_can_be_written(seed, tmp_path):
    elements = n2p2_folders.write(tmp_path / "a", seed)
    symbols, positions, cell = n2p2_folders.structure(elements, seed)
    numbers = np.array([n2p2_oracle.SYMBOLS[name] for name in symbols])
    box = np.zeros((3, 3)) if cell is None else cell
    imported = read_potential(tmp_path / "a", "Ha-Bohr")
    write_potential(imported, tmp_path / "b", "Ha-Bohr")
    bohr = LENGTH["Bohr"]
    where = Structure(numbers, bohr * positions, bohr * box, np.full(3, cell is not None))
    assert same(imported, read_potential(tmp_path / "b", "Ha-Bohr"), where)


def test_single_precision(tmp_path):
    """Weights are written as they are; the arithmetic of what is read is that of float64."""
    single = potential(dtype=torch.float32, anchored=True)
    write_potential(single, tmp_path, "eV-Ang")
    double = potential(dtype=torch.float32, anchored=True)
    double.networks.double()
    assert same(double, read_potential(tmp_path, "eV-Ang"))


def test_functions_of_other_centers_leave_the_network(tmp_path):
    write_potential(potential(), tmp_path, "eV-Ang")
    text = (tmp_path / "input.nn").read_text()
    counts = {name: text.count(f"symfunction_short {name} ") for name in "HCO"}
    assert counts == {"H": 7, "C": 8, "O": 8}


def test_ranges_are_written_and_unknown_ones_never_warn(tmp_path):
    made = potential()
    write_potential(made, tmp_path, "eV-Ang")
    assert "1.0000000000000000E+30" in (tmp_path / "scaling.data").read_text()
    lowest = torch.rand(3, len(CLASSIC), dtype=torch.float64)
    made.ranges = FeatureRanges(lowest, lowest + 1)
    write_potential(made, tmp_path, "eV-Ang", overwrite=True)
    back = read_potential(tmp_path, "eV-Ang")
    assert set(back.ranges.lowest.flatten().tolist()) - {-np.inf} <= set(lowest.flatten().tolist())


@pytest.mark.parametrize(
    ("function", "essentials"),
    [
        (Chebyshev(neighbors=(1, 6), eta=0.1, r_s=1.0, n=2, **CUTOFF), ("chebyshev", "narrow (types 3 and 13)")),
        (Shifted(neighbors=(1, 6), eta=0.1, r_s=1.0, zeta=4.0, theta_s=1.0, **CUTOFF), ("shifted", "wide (9)")),
        (AxilrodTeller(neighbors=(1, 6), eta=0.1, r_s=1.0, n=2, power=1.0, **CUTOFF), ("axilrod_teller", "(21, 24)")),
        (Bessel(neighbors=(1,), n=2, **CUTOFF), ("bessel", "radial (types 2 and 12)")),
        (LogNormal(neighbors=(1,), r_s=1.0, width=0.3, **CUTOFF), ("log_normal", "compact_radial (20, 23)")),
        (Wide(weights=Z, eta=0.1, zeta=4.0, lambda_=1.0, **CUTOFF), ("wide", "(type 13)", "(25)")),
        (Radial(weights=((1, 1.0), (6, 2.0), (8, 8.0)), eta=0.1, **CUTOFF), ("radial", "atomic numbers")),
        (Radial(weights=((1, 1.0),), eta=0.1, **CUTOFF), ("radial", "all of the potential's elements")),
        (Radial(neighbors=(1,), eta=0.1, cutoff=4.0), ("radial", "cutoff function", "the same for all")),
        (Radial(neighbors=(1,), eta=0.1, inner_cutoff=1.0, **CUTOFF), ("radial", "inner cutoff")),
        (Wide(neighbors=(1, 1), eta=0.1, zeta=1.0, lambda_=1.0, r_s=-0.5, **CUTOFF), ("wide", "negative r_s")),
    ],
)
def test_functions_that_the_format_does_not_have(function, essentials, tmp_path):
    with pytest.raises(ValueError) as caught:
        write_potential(potential((*CLASSIC, function)), tmp_path / "new", "eV-Ang")
    missing = [text for text in essentials if text not in str(caught.value)]
    assert not missing, str(caught.value)
    assert not (tmp_path / "new").exists(), "nothing is written"


def test_compact_functions_that_n2p2_would_mix(tmp_path):
    edges = {"inner": 0.5, "cutoff": 3.5, "theta_low": 20.0, "theta_high": 150.0}
    mixed = [CompactNarrow(neighbors=(1, 6), shape=shape, **edges) for shape in ("p1", "p2")]
    with pytest.raises(ValueError, match="n2p2 would compute it as"):
        write_potential(potential((*CLASSIC, *mixed)), tmp_path, "eV-Ang")


def test_other_parts_that_the_format_does_not_have(tmp_path):
    with pytest.raises(ValueError, match=r"activation silu.*tanh"):
        write_potential(potential(activation=("tanh", "silu", "tanh")), tmp_path, "eV-Ang")
    with pytest.raises(ValueError, match=r"committee of 2 members.*--member N, N from 0 to 1"):
        write_potential(potential(members=2), tmp_path, "eV-Ang")
    with pytest.raises(ValueError, match=r"repulsion.*zbl"):
        write_potential(potential(repulsion=ZBL((1, 6, 8), 0.3, 0.7)), tmp_path, "eV-Ang")
    with pytest.raises(ValueError, match="no functions around H"):
        write_potential(potential((CLASSIC[1], CLASSIC[4])), tmp_path, "eV-Ang")


def test_nothing_is_overwritten_in_silence(tmp_path):
    (tmp_path / "weights.014.data").write_text("mine\n")
    with pytest.raises(ValueError, match=r"weights.014.data already.*--overwrite"):
        write_potential(potential(), tmp_path, "eV-Ang")
    assert [path.name for path in tmp_path.iterdir()] == ["weights.014.data"]
    names = {path.name for path in write_potential(potential(), tmp_path, "eV-Ang", overwrite=True)}
    assert names == {"input.nn", "scaling.data", "in.lammps", *(f"weights.00{z}.data" for z in (1, 6, 8))}
    assert {path.name for path in tmp_path.iterdir()} == names, "weights of an element that is not there are gone"
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        write_potential(potential(), tmp_path / "file", "eV-Ang")


def test_the_input_for_lammps(tmp_path):
    lines = {}
    for units in ("eV-Ang", "Ha-Bohr"):
        write_potential(potential(), tmp_path / units, units)
        text = (tmp_path / units / "in.lammps").read_text().replace("&\n", "")
        lines[units] = {line.split()[0]: line.split() for line in text.splitlines() if line and line[0] != "#"}
    for mine in lines.values():
        assert mine["units"] == ["units", "metal"]
        assert mine["pair_coeff"] == ["pair_coeff", "*", "*", "H", "C", "O"]
        assert mine["pair_style"][1] == "hdnnp" and mine["pair_style"][3:5] == ["dir", '"./"']
    assert lines["eV-Ang"]["pair_style"][2] == "4.0"
    assert 4.0 < float(lines["Ha-Bohr"]["pair_style"][2]) < 4.0 + 1e-6
    factors = lines["Ha-Bohr"]["pair_style"][-4:]
    assert float(factors[1]) == pytest.approx(1.8897261328, rel=1e-8)  # as in LAMMPS's documentation
    assert float(factors[3]) == pytest.approx(0.0367493254, rel=1e-6)
    assert lines["eV-Ang"]["pair_style"][-4:] == ["cflength", "1.0", "cfenergy", "1.0"]


def test_pages_of_reference_files_look_like_those_of_n2p2(tmp_path):
    """Headers, columns and digits are those that n2p2 writes."""
    imported = read_potential(ROOT / "cutoff2_alpha0", "eV-Ang")
    write_potential(imported, tmp_path, "eV-Ang")
    for name in ("weights.001.data", "scaling.data"):
        mine, theirs = (
            (folder / name).read_text().splitlines() for folder in (tmp_path, Path(ROOT / "cutoff2_alpha0"))
        )
        assert len(mine) == len(theirs)
        for line, other in zip(mine, theirs, strict=True):
            assert len(line) == len(other)
            assert line == other if line.startswith("#") else line.split()[1] == other.split()[1]
