"""The laws that watch atoms move: smooth through the cutoff, and conserved energy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlip.structure import Structure
from physics.laws import same
from physics.subject import Subject

NEAR = 1e-4  # Å, how near the cutoff values are taken
JUMP = 1e-7  # eV and eV/Å, largest step at the cutoff (extrapolation from three points leaves terms of order NEAR³)


def law_smooth(subject: Subject, structure: Structure) -> None:
    """Energy and forces have no step where an atom passes a cutoff, though there is an interaction inside.

    The last atom of a molecule moves away from the first; the limits from both sides of each cutoff are compared.
    """
    assert not structure.pbc.any(), "this law is for molecules"
    direction = np.array([0.48, -0.6, 0.64])

    def at(distance: float) -> Structure:
        positions = np.vstack([structure.positions[:-1], structure.positions[0] + distance * direction])
        return replace(structure, positions=positions)

    for cutoff in subject.cutoffs:
        offsets = [n * NEAR for n in (1, 2, 3, -1, -2, -3)]
        *near, inside, beyond = subject.predict([at(cutoff + x) for x in (*offsets, -0.35 * cutoff, 50.0)])
        for name in ("energy", "forces"):
            values = np.array([getattr(prediction, name) for prediction in near])
            outer, inner = (3 * one - 3 * two + three for one, two, three in (values[:3], values[3:]))
            same(inner, outer, f"{name} on both sides of {cutoff} Å", JUMP)
        assert abs(inside.energy - beyond.energy) > 1e-4, f"no energy of interaction inside {cutoff} Å"
        assert np.abs(inside.forces - beyond.forces).max() > 1e-4, f"no force of interaction inside {cutoff} Å"


def law_nve(subject: Subject, structure: Structure) -> None:
    """Dynamics without a thermostat keeps the total energy, the better the shorter the step: error ~ step squared.

    Velocity Verlet; masses above 100 u keep the atoms of a random potential slow enough for these steps.
    """
    coarse, exchanged = _energy_error(subject, structure, 0.06, 40)
    fine, _ = _energy_error(subject, structure, 0.03, 80)
    assert exchanged > 1e-3, "nothing moved"
    assert coarse < 0.05 * exchanged, f"energy changes by {coarse:.1e} eV while {exchanged:.1e} eV are exchanged"
    assert 3.0 < coarse / fine < 5.3, f"half the step divides the error of the energy by {coarse / fine:.2f}, not by 4"


def _energy_error(subject: Subject, structure: Structure, step: float, steps: int) -> tuple[float, float]:
    """Largest change of the total energy and of the kinetic energy (eV); the step is in Å √(u/eV), about 10 fs."""
    masses = 10.0 * (12.0 + structure.numbers[:, None])
    velocities = 0.1 * np.random.default_rng(2).normal(size=structure.positions.shape)
    now = subject.predict([structure])[0]
    total, kinetic = [], []
    for _ in range(steps):
        kinetic.append(0.5 * float((masses * velocities**2).sum()))
        total.append(kinetic[-1] + now.energy)
        velocities = velocities + 0.5 * step * now.forces / masses
        structure = replace(structure, positions=structure.positions + step * velocities)
        now = subject.predict([structure])[0]
        velocities = velocities + 0.5 * step * now.forces / masses
    return float(np.abs(np.array(total) - total[0]).max()), float(np.ptp(kinetic))
