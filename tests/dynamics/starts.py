"""Simulations of the tiny potentials in float64, and what their files hold."""

import csv

from interfaces.trained import alcu, crystal, ethanol, molecule

from mlip.dynamics import Simulation
from mlip.ensembles import Conditions
from mlip.interfaces.calculator import MLIPCalculator

MOLECULAR = ("nve", "langevin", "nose-hoover")
PERIODIC = ("npt", "npt-flexible")


def atoms_of(kind):
    atoms, run = (molecule(), ethanol()) if kind == "molecule" else (crystal(), alcu())
    atoms.calc = MLIPCalculator(run, dtype="float64")
    return atoms


def simulation(output, ensemble="nve", *, kind=None, interval=5, **conditions):
    kind = kind or ("crystal" if ensemble in PERIODIC else "molecule")
    return Simulation(atoms_of(kind), Conditions(ensemble=ensemble, **conditions), output, interval=interval)


def log_rows(output):
    with output.with_name(output.name + ".csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
