"""Molecular dynamics of a structure with a potential: set-up, run, watch, save, go on."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.velocitydistribution import Stationary, ZeroRotation, thermalize_momenta
from ase.md.verlet import VelocityVerlet
from tqdm import tqdm

from mlip.batch import OverlappingAtoms
from mlip.trajectory import TrajectoryFile, load_state, save_state

ENSEMBLES = ("nve", "langevin", "nose-hoover", "npt", "npt-flexible")

# What an integrator carries from step to step besides positions, momenta and cell.
_INNER_STATE: dict[str, tuple[str, ...]] = {
    "nve": (),
    "langevin": (),
    "nose-hoover": ("_thermostat._eta", "_thermostat._p_eta"),
    "npt": (
        "_thermostat._eta", "_thermostat._p_eta", "_barostat._xi", "_barostat._p_xi",
        "_eps", "_p_eps", "_cell0", "_volume0",
    ),
    "npt-flexible": ("_thermostat._eta", "_thermostat._p_eta", "_barostat._xi", "_barostat._p_xi", "_p_g"),
}  # fmt: skip


# A run that changed these on the way would be no run; its files could not tell.
_SAME_ON_RESTART = ("ensemble", "temperature", "pressure", "timestep", "friction")


class Unphysical(RuntimeError):  # noqa: N818 (the run's verdict, not the program's failure)
    """The dynamics left physics; the frame that did it is saved."""


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

    def __post_init__(self) -> None:
        if self.ensemble not in ENSEMBLES:
            raise ValueError(f"--ensemble is '{self.ensemble}'; known: {', '.join(ENSEMBLES)}")
        for name in ("timestep", "friction", "largest_force", "largest_drift"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"--{name.replace('_', '-')} is {value}; expected a positive number")
        if not (np.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"--temperature is {self.temperature} K; expected zero or a positive number")
        if not np.isfinite(self.pressure):
            raise ValueError(f"--pressure is {self.pressure} GPa; expected a finite number")
        if self.seed < 0:
            raise ValueError(f"--seed is {self.seed}; expected zero or a positive whole number")
        if self.timestep > 20:
            raise ValueError(f"--timestep is {self.timestep} fs; steps above 20 fs cannot follow the atoms")


class Simulation:
    """Atoms with a calculator, an integrator, and files that let the run go on where it stopped."""

    def __init__(self, atoms: Atoms, conditions: Conditions, output: Path, *, interval: int = 10) -> None:
        if interval < 1:
            raise ValueError(f"--interval is {interval}; expected at least 1 step")
        if conditions.ensemble.startswith("npt") and not atoms.pbc.all():
            raise ValueError(
                f"--ensemble {conditions.ensemble} needs three periodic directions; pbc is {atoms.pbc.tolist()}. "
                "Give the structure a cell, or take nve, langevin or nose-hoover"
            )
        self.atoms, self.conditions, self.interval = atoms, conditions, interval
        self.trajectory = TrajectoryFile(output)
        self.log = output.with_name(output.name + ".csv")
        self.state = output.with_name(output.name + ".restart.npz")
        self.generator = np.random.default_rng(conditions.seed)
        self.step = 0
        self.dynamics: Any = None
        self._initial: float | None = None  # conserved energy at the start, eV
        self._written = (
            0,
            0,
            0,
        )  # frames, bytes and bytes of the log up to the last step that is a multiple of interval

    def start(self) -> None:
        """Begin at step 0, with velocities of the temperature unless the atoms have some.

        Raises:
            ValueError: there is a trajectory of that name already.
        """
        if self.trajectory.path.exists():
            raise ValueError(
                f"{self.trajectory.path} exists. Go on with it: --restart; or choose another --output, or remove it"
            )
        self.log.unlink(missing_ok=True)  # of a trajectory that was removed
        self.state.unlink(missing_ok=True)
        if not self.atoms.has("momenta"):
            set_velocities(self.atoms, self.conditions.temperature, self.generator)
        self.dynamics = make_dynamics(self.atoms, self.conditions, self.generator)

    def restart(self) -> None:
        """Go on from the last saved state; frames written after it are dropped.

        Raises:
            ValueError: there is no state, or it belongs to other atoms or another ensemble.
        """
        state = load_state(self.state)
        if not np.array_equal(state["numbers"], self.atoms.numbers) or not np.array_equal(state["pbc"], self.atoms.pbc):
            raise ValueError(
                f"{self.state}: belongs to a run of {len(state['numbers'])} atoms with pbc {state['pbc'].tolist()}; "
                "restart with the same structure"
            )
        for name in _SAME_ON_RESTART:
            old, new = state[name].item(), getattr(self.conditions, name)
            if old != new:
                raise ValueError(
                    f"{self.state}: belongs to a run with --{name} {old}, not {new}; restart under the same conditions"
                )
        self.atoms.set_cell(state["cell"])
        self.atoms.set_positions(state["positions"])
        self.atoms.set_momenta(state["momenta"])
        self.generator.bit_generator.state = state["generator"]
        self.dynamics = make_dynamics(self.atoms, self.conditions, self.generator)
        for name in _INNER_STATE[self.conditions.ensemble]:
            *owners, last = name.split(".")
            setattr(reduce(getattr, owners, self.dynamics), last, _as_saved(state[name]))
        self.step = int(state["step"])
        self._initial = float(state["initial"])
        self._written = (int(state["frames"]), int(state["bytes"]), int(state["log_bytes"]))
        self.trajectory.truncate(*self._written[:2])
        if self.log.exists():
            os.truncate(self.log, int(state["log_bytes"]))

    def run(
        self, steps: int, *, quiet: bool = False, should_stop: Callable[[], bool] = lambda: False
    ) -> dict[str, float | int]:
        """Run until `steps` steps from the start are done, or `should_stop`; returns a summary.

        Raises:
            Unphysical: a coordinate or force is not finite, or a force is larger than the conditions allow.
        """
        assert self.dynamics is not None, "start or restart comes first"
        if steps < 0:
            raise ValueError(f"--steps is {steps}; expected zero or a positive whole number")
        began, first = time.monotonic(), self.step
        saved = began
        if self.step == 0:
            self._check()
            self._record()
        temperatures = [self.atoms.get_temperature()]
        with tqdm(total=steps, initial=self.step, unit="step", disable=quiet, dynamic_ncols=True) as bar:
            while self.step < steps and not should_stop():
                self._advance()
                bar.update()
                if self.step % self.interval == 0 or self.step == steps:
                    row = self._record()
                    temperatures.append(row["temperature"])
                    bar.set_postfix_str(_summary(row))
                    if time.monotonic() - saved > 5.0:
                        self._save()
                        saved = time.monotonic()
        self._save()
        seconds = time.monotonic() - began
        return {
            "steps": self.step,
            "seconds": seconds,
            "ms_per_step": 1e3 * seconds / max(1, self.step - first),
            "mean_temperature": float(np.mean(temperatures)),
            "drift_meV_per_atom": self._drift(),
            "time_ps": self.step * self.conditions.timestep * 1e-3,
        }

    def _advance(self) -> None:
        try:
            self.dynamics.step()
        except ValueError as error:  # atoms on top of each other, numbers that are not finite
            self._fail(str(error))
        self.step += 1
        self._check()

    def _check(self) -> None:
        try:
            forces = self.atoms.get_forces()
            energy = self.atoms.get_potential_energy()
        except OverlappingAtoms as error:
            self._fail(str(error))
        largest = float(np.abs(forces).max())
        if not (np.isfinite(forces).all() and np.isfinite(energy) and np.isfinite(self.atoms.positions).all()):
            self._fail("the energy, a position or a force is not a finite number")
        if largest > self.conditions.largest_force:
            atom = int(np.abs(forces).max(axis=1).argmax())
            self._fail(f"the force on atom {atom} is {largest:.3g} eV/Å, above {self.conditions.largest_force:g}")

    def _fail(self, reason: str) -> None:
        path = self.trajectory.path.with_name(self.trajectory.path.name + ".failed.xyz")
        frame = Atoms(self.atoms.numbers, self.atoms.positions, cell=self.atoms.cell, pbc=self.atoms.pbc)
        frame.set_momenta(self.atoms.get_momenta())
        frame.info["step"] = self.step
        frame.write(path, format="extxyz")
        raise Unphysical(
            f"step {self.step}: {reason}; the frame is saved in {path}. The structure is outside of what the potential "
            "was trained on, or the timestep is too long: add such structures to the training data, or lower --timestep"
        )

    def _record(self) -> dict[str, float]:
        """Write a frame and a row of the log."""
        if self._initial is None:
            self._initial = self._conserved()
        drift = self._drift()
        if self.conditions.ensemble != "langevin" and abs(drift) > 1e3 * self.conditions.largest_drift:
            self._fail(f"the conserved energy has drifted by {1e-3 * drift:+.3g} eV per atom")
        row = {
            "step": self.step,
            "time_fs": self.step * self.conditions.timestep,
            "temperature": float(self.atoms.get_temperature()),
            "potential_energy": float(self.atoms.get_potential_energy()),
            "kinetic_energy": float(self.atoms.get_kinetic_energy()),
            "drift_meV_per_atom": drift,
        }
        if self.atoms.pbc.all():
            row["volume"] = float(self.atoms.get_volume())
        self.trajectory.write(self.atoms, self.step, row["time_fs"])
        new = not self.log.exists()
        with self.log.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        if self.step % self.interval == 0:
            self._written = (self.trajectory.frames, self.trajectory.size(), self.log.stat().st_size)
        return row

    def _conserved(self) -> float:
        """What exact integration would keep (eV); with Langevin's noise there is no such thing: the total energy."""
        if hasattr(self.dynamics, "get_conserved_energy"):
            return float(self.dynamics.get_conserved_energy())
        return float(self.atoms.get_total_energy())

    def _drift(self) -> float:
        assert self._initial is not None
        return 1e3 * (self._conserved() - self._initial) / len(self.atoms)

    def _save(self) -> None:
        inner = {
            name: reduce(getattr, name.split("."), self.dynamics) for name in _INNER_STATE[self.conditions.ensemble]
        }
        save_state(
            self.state,
            generator=self.generator.bit_generator.state,
            numbers=self.atoms.numbers,
            positions=self.atoms.positions,
            momenta=self.atoms.get_momenta(),
            cell=self.atoms.cell.array,
            pbc=self.atoms.pbc,
            **{name: getattr(self.conditions, name) for name in _SAME_ON_RESTART},
            step=self.step,
            initial=self._initial,
            frames=self._written[0],
            bytes=self._written[1],
            log_bytes=self._written[2],
            **inner,
        )


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


def _as_saved(value: np.ndarray) -> Any:
    return float(value) if value.ndim == 0 else value


def _summary(row: dict[str, float]) -> str:
    return (
        f"{row['temperature']:.0f} K, {row['potential_energy']:.3f} eV, drift {row['drift_meV_per_atom']:+.3f} meV/atom"
    )
