"""Molecular dynamics of a structure with a potential: set-up, run, watch, save, go on."""

from __future__ import annotations

import csv
import logging
import os
import time
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from tqdm import tqdm

from mlip.batch import OverlappingAtoms
from mlip.collection import Collector
from mlip.ensembles import INNER_STATE, Conditions, make_dynamics, set_velocities
from mlip.model.extrapolation import ExtrapolationCount
from mlip.model.sparsity import SparsityCount, with_density
from mlip.trajectory import TrajectoryFile, conservation, load_state, save_state

# A run that changed these on the way would be no run; its files could not tell.
_SAME_ON_RESTART = ("ensemble", "temperature", "pressure", "timestep", "friction")


logger = logging.getLogger(__name__)


class Unphysical(RuntimeError):  # noqa: N818 (the run's verdict, not the program's failure)
    """The dynamics left physics; the frame that did it is saved."""


class Simulation:
    """Atoms with a calculator, an integrator, and files that let the run go on where it stopped."""

    def __init__(
        self,
        atoms: Atoms,
        conditions: Conditions,
        output: Path,
        *,
        interval: int = 10,
        potential: str = "",
        collector: Collector | None = None,
    ) -> None:
        if interval < 1:
            raise ValueError(f"--interval is {interval}; expected at least 1 step")
        if conditions.ensemble.startswith("npt") and not atoms.pbc.all():
            raise ValueError(
                f"--ensemble {conditions.ensemble} needs three periodic directions; pbc is {atoms.pbc.tolist()}. "
                "Give the structure a cell, or take nve, langevin or nose-hoover"
            )
        self.atoms, self.conditions, self.interval = atoms, conditions, interval
        self.potential = potential  # what tells the potential from another
        self.trajectory = TrajectoryFile(output)
        self.log = output.with_name(output.name + ".csv")
        self.state = output.with_name(output.name + ".restart.npz")
        self.generator = np.random.default_rng(conditions.seed)
        self.step = 0
        self.dynamics: Any = None
        self.collector = collector
        self.extrapolation: ExtrapolationCount | None = None
        self.sparsity: SparsityCount | None = None  # of the frames that are recorded
        if conditions.on_extrapolation != "ignore":
            self.extrapolation = ExtrapolationCount(atoms.calc.potential, "step")
            self.sparsity = SparsityCount(atoms.calc.potential, "frame")
        self._initial: float | None = None  # conserved energy at the start, eV
        # Frames, bytes, and bytes of the log, up to the last step that is a multiple of the interval.
        self._written = (0, 0, 0)

    def start(self) -> None:
        """Begin at step 0, with velocities of the temperature unless the atoms have some.

        Raises:
            ValueError: there is a trajectory of that name already.
        """
        if self.trajectory.path.exists():
            go_on = "Go on with it: --restart; or choose" if self.state.exists() else "Choose"
            raise ValueError(f"{self.trajectory.path} exists. {go_on} another --output, or remove it")
        if self.collector:
            self.collector.start()
        self.log.unlink(missing_ok=True)  # of a trajectory that was removed
        self.state.unlink(missing_ok=True)
        if self.atoms.has("momenta"):
            logger.info("velocities are those of the start, %.0f K", self.atoms.get_temperature())
        else:
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
        if str(state["potential"]) != self.potential:
            raise ValueError(f"{self.state}: belongs to a run with another potential; restart with the same")
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
        for name in INNER_STATE[self.conditions.ensemble]:
            *owners, last = name.split(".")
            setattr(reduce(getattr, owners, self.dynamics), last, _as_saved(state[name]))
        self.step = int(state["step"])
        if self.collector:
            self.collector.restart(self.step)
        self._initial = float(state["initial"])
        self._written = (int(state["frames"]), int(state["bytes"]), int(state["log_bytes"]))
        self.trajectory.truncate(*self._written[:2])
        if self.log.exists():
            os.truncate(self.log, int(state["log_bytes"]))

    def run(
        self, steps: int, *, quiet: bool = False, should_stop: Callable[[], bool] = lambda: False
    ) -> dict[str, Any]:
        """Run until `steps` steps from the start are done, or `should_stop`; returns a summary.

        Raises:
            Unphysical: a coordinate or force is not finite, a force is larger than the conditions allow, or features
                are farther outside of the training set's.
        """
        assert self.dynamics is not None, "start or restart comes first"
        if steps < 0:
            raise ValueError(f"--steps is {steps}; expected zero or a positive whole number")
        began, first = time.monotonic(), self.step
        saved = began
        if self.step == 0:
            self._check()
            self._collect()
            self._record()
            self._save()
        temperatures = [self.atoms.get_temperature()]
        with tqdm(total=steps, initial=self.step, unit="step", disable=quiet, dynamic_ncols=True) as bar:
            while self.step < steps and not should_stop():
                self._advance()
                self._collect()
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
            **conservation(self.log),
            "time_ps": self.step * self.conditions.timestep * 1e-3,
            **(
                {"extrapolation": with_density(self.extrapolation.results(), self.sparsity)}
                if self.extrapolation and self.sparsity
                else {}
            ),
            **({"collected": self.collector.results()} if self.collector else {}),
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
        if self.extrapolation is not None:
            self._watch(self.extrapolation)

    def _watch(self, count: ExtrapolationCount) -> None:
        """Count the atoms outside of the training set's features, once a step."""
        calculator = self.atoms.calc
        calculator.get_property("extrapolation", self.atoms)
        worst = count.add(self.atoms.numbers, calculator.outside, self.step)
        largest = self.conditions.largest_extrapolation
        if self.conditions.on_extrapolation == "stop" and worst is not None and worst.severity > largest:
            self._fail(f"{worst}, and --largest-extrapolation is {largest:g}")

    def _collect(self) -> None:
        """Keep the frame if the potential is among the least sure of it."""
        if self.collector is None or self.step % self.collector.interval:
            return
        uncertainty, atom = self.collector.consider(self.atoms, self.step)
        if uncertainty > self.collector.stop:
            self._fail(
                f"the uncertainty ({self.collector.measure}) of atom {atom} is {uncertainty:.3g} "
                f"{self.collector.unit}, above --collect-stop {self.collector.stop:g}"
            )

    def _fail(self, reason: str) -> None:
        if self.collector:
            self.collector.save()
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
        change = self._change()
        if self.conditions.ensemble != "langevin" and abs(change) > 1e3 * self.conditions.largest_drift:
            self._fail(f"the conserved energy has changed by {1e-3 * change:+.3g} eV per atom")
        row = {
            "step": self.step,
            "time_fs": self.step * self.conditions.timestep,
            "temperature": float(self.atoms.get_temperature()),
            "potential_energy": float(self.atoms.get_potential_energy()),
            "kinetic_energy": float(self.atoms.get_kinetic_energy()),
            "change_meV_per_atom": change,
        }
        if self.atoms.pbc.all():
            row["volume"] = float(self.atoms.get_volume())
        row |= self._spread() | self._distance()
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

    def _spread(self) -> dict[str, float]:
        """Standard deviations over a committee: of the energy (eV), and the longest of an atom's force (eV/Å)."""
        calculator = self.atoms.calc
        if "forces_std" not in calculator.implemented_properties:
            return {}
        if not calculator.potential.deviates_for(len(self.atoms)):
            return {}
        energy, forces = (calculator.get_property(name, self.atoms) for name in ("energy_std", "forces_std"))
        return {"energy_std": energy, "largest_forces_std": float(np.linalg.norm(forces, axis=1).max())}

    def _distance(self) -> dict[str, float]:
        """How far the farthest atom is from the training set's features."""
        if self.sparsity is None or self.sparsity.potential.density is None:
            return {}
        self.atoms.calc.get_property("feature_distance", self.atoms)
        farthest = self.sparsity.add(self.atoms.numbers, self.atoms.calc.distance, self.step)
        return {"largest_feature_distance": farthest.distance}

    def _conserved(self) -> float:
        """What exact integration would keep (eV); with Langevin's noise there is no such thing: the total energy."""
        if hasattr(self.dynamics, "get_conserved_energy"):
            return float(self.dynamics.get_conserved_energy())
        return float(self.atoms.get_total_energy())

    def _change(self) -> float:
        """Change of the conserved energy since the start (meV/atom)."""
        assert self._initial is not None
        return 1e3 * (self._conserved() - self._initial) / len(self.atoms)

    def _save(self) -> None:
        if self.collector:
            self.collector.save()
        inner = {
            name: reduce(getattr, name.split("."), self.dynamics) for name in INNER_STATE[self.conditions.ensemble]
        }
        save_state(
            self.state,
            generator=self.generator.bit_generator.state,
            numbers=self.atoms.numbers,
            positions=self.atoms.positions,
            momenta=self.atoms.get_momenta(),
            cell=self.atoms.cell.array,
            pbc=self.atoms.pbc,
            potential=self.potential,
            **{name: getattr(self.conditions, name) for name in _SAME_ON_RESTART},
            step=self.step,
            initial=self._initial,
            frames=self._written[0],
            bytes=self._written[1],
            log_bytes=self._written[2],
            **inner,
        )


def _as_saved(value: np.ndarray) -> Any:
    return float(value) if value.ndim == 0 else value


def _summary(row: dict[str, float]) -> str:
    change = row["change_meV_per_atom"]
    return f"{row['temperature']:.0f} K, {row['potential_energy']:.3f} eV, energy {change:+.3f} meV/atom"
