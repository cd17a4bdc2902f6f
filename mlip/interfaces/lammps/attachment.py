"""The potential as LAMMPS's `fix external`: each step it gives every rank the forces on its own atoms."""

from __future__ import annotations

import ctypes
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from mlip.elements import atomic_number, symbols
from mlip.interfaces.lammps.domain import Domain
from mlip.interfaces.lammps.halo import Halo
from mlip.interfaces.lammps.watch import Watch
from mlip.model.potential import Potential
from mlip.units import ENERGY

FIX = "mlip"  # its name in LAMMPS
OUTSIDE = "mlip_extrapolation"
DEVIATIONS = ("mlip_energy_std", "mlip_forces_std")  # per atom, d_... in dumps
ENERGY_OF = {"metal": "eV", "real": "kcal/mol"}  # by LAMMPS's units, all with lengths in Å
USER_ERROR = 2
_VOIGT = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # LAMMPS's order


class Attachment:
    """A potential attached to a LAMMPS whose box exists, until LAMMPS ends.

    `elements` has the symbol of each atom type. Of a committee the standard deviations of atomic energies and of forces
    (the length of an atom's three components) are there for dumps every `std` steps, as d_mlip_energy_std (LAMMPS's
    unit of energy) and d_mlip_forces_std; 0 for never. With a `watch`, d_mlip_extrapolation is how far each atom is
    outside of the training set's features, in widths of their ranges. LAMMPS's run ends after the step in which
    `should_stop` is true on some rank, and what follows it in the input is still done; `stopped_at` is that step.
    `ranks` is the communicator of LAMMPS's ranks or None.

    A failure on any rank ends all of them with exit status 2 and one message: LAMMPS cannot be told of it otherwise.

    Raises:
        ValueError: there is no box, its units are neither metal nor real, the elements are not those of the potential
            or not one for each type, or deviations are asked of a potential that has one member.
    """

    def __init__(
        self,
        lammps: Any,
        ranks: Any,
        potential: Potential,
        elements: Sequence[str],
        *,
        std: int = 0,
        watch: Watch | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if not lammps.extract_setting("box_exist"):
            raise ValueError("LAMMPS has no box where the potential is to be attached. Create it before the first run")
        units = lammps.extract_global("units")
        if units not in ENERGY_OF:
            raise ValueError(f"LAMMPS has units {units}; expected {' or '.join(ENERGY_OF)}")
        if std and potential.members == 1:
            raise ValueError("deviations are those of a committee's members; the potential has one member")
        self.lammps, self.ranks = lammps, ranks
        self.per_ev = 1 / ENERGY[ENERGY_OF[units]]  # LAMMPS's unit of energy
        self.domain = Domain(potential, watch=watch is not None)
        self.std, self.watch = std, watch
        self.should_stop = should_stop
        self.stopped_at: int | None = None
        self._number_of_type = _numbers_of_types(elements, lammps.extract_setting("ntypes"), potential)
        self._numbers = self._tags = np.empty(0, np.int64)
        self._halo: Halo | None = None
        commands = [f"fix {FIX} all external pf/callback 1 1", f"fix_modify {FIX} energy yes virial yes"]
        per_atom = [*(DEVIATIONS if std else ()), *([OUTSIDE] if watch else [])]
        if per_atom:
            commands.append(f"fix {FIX}_atoms all property/atom {' '.join(f'd_{name}' for name in per_atom)}")
        lammps.commands_list(commands)
        lammps.set_fix_external_callback(FIX, self._forces, None)

    def _forces(self, caller: None, step: int, atoms: int, tags: np.ndarray, x: np.ndarray, forces: np.ndarray) -> None:
        """What LAMMPS calls: fills the forces on a rank's own atoms, energy and virial of all."""
        failure = None
        # One reduction tells all ranks what each has: energy, virial, whether it has other atoms, failures, and how
        # many atoms are outside of the training set's features, far outside, or so far that LAMMPS is to stop; and
        # how many ranks are to stop for another reason.
        totals = np.zeros(13)
        totals[12] = self.should_stop()
        try:
            positions, moved = self._arrived(atoms)
            made = self.domain.evaluate(positions)
            totals[0], totals[7] = made.energies.sum(), moved
            totals[1:7] = [-made.virial[a, b] for a, b in _VOIGT]
            if self.watch is not None and made.outside is not None:
                totals[9:12] = self.watch.add(self._numbers[:atoms], tags, made.outside, step)
                self.lammps.numpy.extract_atom(f"d_{OUTSIDE}", nelem=atoms)[:] = made.outside.severity
        except Exception as error:
            failure, totals[8] = error, 1
        if self.ranks is not None:
            totals = self._summed(totals)
        if totals[8]:
            self._end(failure)
        if totals[12] and self.stopped_at is None:  # LAMMPS ends its run after this step, and begins no other
            self.lammps.force_timeout()
            self.stopped_at = step
        if self.watch is not None:
            self.watch.of_all(int(totals[9]), int(totals[10]), step)
            if totals[11]:  # LAMMPS ends its run after this step
                self.lammps.force_timeout()
                self.watch.stopped_at = step
        try:
            if totals[7] or self._halo is None:
                self._halo = Halo(self.ranks, self._tags[:atoms], self._tags[atoms:])
            forces[:] = self.per_ev * self._halo.give_back(made.forces)
            if self.std and step % self.std == 0:
                self._store_deviations(positions)
        except Exception as error:  # not what one rank alone may survive: others wait for its messages
            self._end(error, alone=True)
        energies = np.ascontiguousarray(self.per_ev * made.energies)
        totals *= self.per_ev
        library, handle, name = self.lammps.lib, self.lammps.lmp, FIX.encode()
        library.lammps_fix_external_set_energy_global(handle, name, totals[0])
        self.lammps.fix_external_set_virial_global(FIX, totals[1:7].tolist())
        pointer = energies.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        library.lammps_fix_external_set_energy_peratom(handle, name, pointer)

    def _arrived(self, own: int) -> tuple[np.ndarray, bool]:
        """Positions of own atoms and ghosts, with pairs that serve them; whether they are others than before."""
        count = own + self.lammps.extract_global("nghost")
        arrays = self.lammps.numpy
        tags = arrays.extract_atom("id", nelem=count)
        positions = arrays.extract_atom("x", nelem=count)
        moved = self._halo is None or self._halo.atoms != own or tags.tobytes() != self._tags.tobytes()
        if moved or not self.domain.still_valid(positions):
            types = arrays.extract_atom("type", nelem=count)
            self._numbers, self._tags = self._number_of_type[types], tags.copy()
            self.domain.search(self._numbers, own, positions)
        return positions, moved

    def _summed(self, totals: np.ndarray) -> np.ndarray:
        from mpi4py import MPI

        self.ranks.Allreduce(MPI.IN_PLACE, totals)
        return totals

    def _store_deviations(self, positions: np.ndarray) -> None:
        """Deviations of a committee's members for LAMMPS's dumps."""
        assert self._halo is not None
        energies, parts = self.domain.deviations(positions)
        factors, atoms = self.domain.potential.calibration, self._halo.atoms
        squares = np.square(self._halo.give_back(parts)).sum(axis=1) / (len(energies) - 1)
        of_energy, of_forces = (self.lammps.numpy.extract_atom(f"d_{name}", nelem=atoms) for name in DEVIATIONS)
        of_energy[:] = self.per_ev * factors.energy * energies.std(axis=0, ddof=1)
        of_forces[:] = self.per_ev * factors.forces * np.sqrt(squares)

    def _end(self, failure: Exception | None, alone: bool = False) -> NoReturn:
        """Say what failed, once, and end all ranks; an exception would be lost in LAMMPS, between here and Python."""
        if os.environ.get("MLIP_DEBUG") and failure is not None:
            traceback.print_exception(failure)
        message = None if failure is None else f"{failure or type(failure).__name__}"
        first = self.ranks is None or alone
        if not first:
            messages = self.ranks.allgather(message)
            message = next(text for text in messages if text is not None)
            first = self.ranks.rank == 0
        if first:
            sys.stderr.write(f"mlip: error: {message}\n")
            sys.stderr.flush()
        ctypes.CDLL(None).fflush(None)  # LAMMPS's log and dumps
        if self.ranks is not None:
            if alone and self.ranks.size > 1:
                self.ranks.Abort(USER_ERROR)
            from mpi4py import MPI

            MPI.Finalize()
        os._exit(USER_ERROR)


def _numbers_of_types(elements: Sequence[str], types: int, potential: Potential) -> np.ndarray:
    """Atomic numbers by atom type, from 1 on."""
    known = symbols(potential.elements)
    if len(elements) != types:
        given = f"elements are {' '.join(elements)}" if elements else "no elements are given"
        raise ValueError(
            f"LAMMPS has {types} atom types, and {given}. Give the element of each type, in their order, of {known}: "
            "--elements Si O, or pair_coeff * * Si O after pair_style mlip"
        )
    numbers = [atomic_number(name, f"element {row} of {' '.join(elements)}") for row, name in enumerate(elements, 1)]
    strangers = [number for number in numbers if number not in potential.elements]
    if strangers:
        raise ValueError(f"the potential does not know {symbols(strangers)}; it was trained for {known}")
    return np.array([0, *numbers])
