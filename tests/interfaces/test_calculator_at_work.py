"""The calculator in the hands of ASE: optimizers, bands, vibrations and integrators."""

import numpy as np
import pytest
from ase import units
from ase.filters import FrechetCellFilter
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import NoseHooverChainNVT
from ase.mep import NEB
from ase.optimize import BFGS, FIRE
from ase.vibrations import Vibrations

from interfaces.trained import alcu, crystal, ethanol, molecule
from mlip.interfaces.calculator import MLIPCalculator


def calculator(run):
    return MLIPCalculator(run, dtype="float64")


@pytest.mark.parametrize("optimizer", [BFGS, FIRE])
def test_relaxation_goes_downhill(optimizer):
    atoms = molecule()
    atoms.calc = calculator(ethanol())
    energy, force = atoms.get_potential_energy(), np.abs(atoms.get_forces()).max()
    optimizer(atoms, logfile=None).run(fmax=0.05, steps=25)
    assert atoms.get_potential_energy() < energy and np.abs(atoms.get_forces()).max() < force
    assert atoms.calc.evaluations <= 26 and atoms.calc.pairs.searches < atoms.calc.evaluations


def test_relaxation_of_the_cell():
    atoms = crystal()
    atoms.calc = calculator(alcu())
    energy, volume = atoms.get_potential_energy(), atoms.get_volume()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.05, steps=25)
    assert atoms.get_potential_energy() < energy and abs(atoms.get_volume() - volume) > 1e-3


@pytest.mark.parametrize("shared", [False, True])
def test_a_band_of_three_images(shared):
    ends = [molecule(), molecule()]
    ends[1].rotate(20, "z", center="COM")
    ends[1].positions[0] += 0.2
    images = [ends[0], ends[0].copy(), ends[1]]
    one = calculator(ethanol())
    for image in images:
        image.calc = one if shared else calculator(ethanol())
    band = NEB(images, allow_shared_calculator=shared, method="improvedtangent")
    band.interpolate()
    before = images[1].get_potential_energy()
    BFGS(band, logfile=None).run(fmax=0.05, steps=5)
    assert np.isfinite(images[1].get_potential_energy()) and images[1].get_potential_energy() != before


def test_vibrations(tmp_path):
    atoms = molecule()
    atoms.calc = calculator(ethanol())
    vibrations = Vibrations(atoms, indices=[0, 1], name=str(tmp_path / "vibrations"))
    vibrations.run()
    assert len(vibrations.get_energies()) == 6
    assert np.isfinite(vibrations.get_energies()).all()


@pytest.mark.parametrize("integrator", ["langevin", "nose-hoover"])
def test_integrators_with_a_thermostat(integrator):
    atoms = crystal()
    atoms.calc = calculator(alcu())
    atoms.set_momenta(np.random.default_rng(1).normal(scale=1.0, size=(len(atoms), 3)))
    if integrator == "langevin":
        rng = np.random.default_rng(2)
        dynamics = Langevin(atoms, 2 * units.fs, temperature_K=300, friction=0.01 / units.fs, rng=rng, fixcm=False)
    else:
        dynamics = NoseHooverChainNVT(atoms, 2 * units.fs, temperature_K=300, tdamp=200 * units.fs)
    start = atoms.get_positions()
    dynamics.run(20)
    moved = np.linalg.norm(atoms.positions - start, axis=1)
    assert 0.01 < moved.max() < 2.0 and atoms.get_temperature() < 3000
    assert atoms.calc.evaluations == 21, "one evaluation a step"
