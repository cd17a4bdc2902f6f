"""Ensembles of molecular dynamics: their conditions, ASE's integrators for them, and velocities to start with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.velocitydistribution import Stationary, ZeroRotation, thermalize_momenta
from ase.md.verlet import VelocityVerlet

ENSEMBLES = ("nve", "langevin", "nose-hoover", "npt", "npt-flexible")
ON_EXTRAPOLATION = ("ignore", "warn", "stop")

# What an integrator carries from step to step besides positions, momenta and cell.
INNER_STATE: dict[str, tuple[str, ...]] = {
    "nve": (),
    "langevin": (),
    "nose-hoover": ("_thermostat._eta", "_thermostat._p_eta"),
    "npt": (
        "_thermostat._eta", "_thermostat._p_eta", "_barostat._xi", "_barostat._p_xi",
        "_eps", "_p_eps", "_cell0", "_volume0",
    ),
    "npt-flexible": ("_thermostat._eta", "_thermostat._p_eta", "_barostat._xi", "_barostat._p_xi", "_p_g"),
}  # fmt: skip


def require_sense(on_extrapolation: str, largest_extrapolation: float) -> None:
    """See that dynamics can do what it is to do where features are outside of the training set's.

    Raises:
        ValueError: it is nothing known, or the limit is no positive number.
    """
    if on_extrapolation not in ON_EXTRAPOLATION:
        raise ValueError(f"--on-extrapolation is '{on_extrapolation}'; known: {', '.join(ON_EXTRAPOLATION)}")
    if not (np.isfinite(largest_extrapolation) and largest_extrapolation > 0):
        raise ValueError(f"--largest-extrapolation is {largest_extrapolation}; expected a positive number")


@dataclass(frozen=True)
class Conditions:
    """Ensemble and its parameters.

    Raises:
        ValueError: a value is out of range; the message names its option.
    """

    ensemble: str = "nve"
    temperature: float = 300.0  # K
    pressure: float = 0.0  # GPa
    timestep: float = 0.5  # fs
    friction: float = 0.01  # 1/fs, Langevin
    thermostat_time: float | None = None  # fs, Nosé-Hoover; None: 100 timesteps
    barostat_time: float | None = None  # fs; None: 1000 timesteps
    seed: int = 1
    largest_force: float = 200.0  # eV/Å, beyond which the run is stopped
    largest_drift: float = 1.0  # eV/atom of the conserved energy, beyond which the run is stopped
    on_extrapolation: str = "ignore"  # atoms outside of the training set's features; "warn" counts them
    largest_extrapolation: float = 1.0  # widths of a function's range outside of it, beyond which "stop" stops

    def __post_init__(self) -> None:
        if self.ensemble not in ENSEMBLES:
            raise ValueError(f"--ensemble is '{self.ensemble}'; known: {', '.join(ENSEMBLES)}")
        require_sense(self.on_extrapolation, self.largest_extrapolation)
        for name in ("timestep", "friction", "largest_force", "largest_drift"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"--{name.replace('_', '-')} is {value}; expected a positive number")
        if not (np.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"--temperature is {self.temperature} K; expected zero or a positive number")
        if self.temperature == 0 and self.ensemble not in ("nve", "langevin"):
            raise ValueError(f"--temperature is 0 K; --ensemble {self.ensemble} needs a positive temperature")
        if not np.isfinite(self.pressure):
            raise ValueError(f"--pressure is {self.pressure} GPa; expected a finite number")
        if self.seed < 0:
            raise ValueError(f"--seed is {self.seed}; expected zero or a positive whole number")
        if self.timestep > 20:
            raise ValueError(f"--timestep is {self.timestep} fs; steps above 20 fs cannot follow the atoms")


def set_velocities(atoms: Atoms, temperature: float, generator: np.random.Generator) -> None:
    """Maxwell-Boltzmann velocities at the temperature (K), without drift, nor rotation of a molecule."""
    thermalize_momenta(atoms, temperature_K=temperature, rng=generator)
    if len(atoms) > 1:
        Stationary(atoms)
        if not atoms.pbc.any() and len(atoms) > 2:
            ZeroRotation(atoms)
        now = atoms.get_temperature()
        if now > 0:
            atoms.set_momenta(atoms.get_momenta() * np.sqrt(temperature / now))


def make_dynamics(atoms: Atoms, conditions: Conditions, generator: np.random.Generator) -> MolecularDynamics:
    """ASE's integrator for the ensemble."""
    timestep = conditions.timestep * units.fs
    tdamp = (conditions.thermostat_time or 100 * conditions.timestep) * units.fs
    pdamp = (conditions.barostat_time or 1000 * conditions.timestep) * units.fs
    kelvin = conditions.temperature
    if conditions.ensemble == "nve":
        return VelocityVerlet(atoms, timestep)
    if conditions.ensemble == "langevin":
        friction = conditions.friction / units.fs
        return Langevin(atoms, timestep, friction=friction, fixcm=False, rng=generator, temperature_K=kelvin)
    if conditions.ensemble == "nose-hoover":
        return NoseHooverChainNVT(atoms, timestep, tdamp=tdamp, temperature_K=kelvin)
    barostat = IsotropicMTKNPT if conditions.ensemble == "npt" else MTKNPT
    pressure = conditions.pressure * units.GPa
    return barostat(atoms, timestep, pressure_au=pressure, tdamp=tdamp, pdamp=pdamp, temperature_K=kelvin)
