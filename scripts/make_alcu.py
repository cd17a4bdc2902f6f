"""Make data/alcu_emt.xyz: strained and heated fcc Al-Cu alloys with ASE's effective-medium potential, as extxyz.

    python scripts/make_alcu.py --output data/alcu_emt.xyz

Energies in eV, forces in eV/Å, stress in eV/Å³ with ASE's sign (positive under tension).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from tqdm import tqdm

REPEATS = {(1, 1, 1): 80, (2, 1, 1): 60, (2, 2, 1): 50, (2, 2, 2): 60, (3, 2, 2): 30, (3, 3, 3): 30}
LATTICE_CONSTANTS = {"Al": 3.99, "Cu": 3.61}  # Å, EMT at 0 K


def alloy(repeat: tuple[int, int, int], generator: np.random.Generator) -> Atoms:
    """An fcc supercell with a random composition, strained by up to 4 % in volume and shape."""
    atoms = bulk("Cu", "fcc", a=1.0, cubic=True).repeat(repeat)
    fraction = generator.choice([0.0, 1.0, generator.uniform()])
    copper = generator.permutation(len(atoms)) < round(fraction * len(atoms))
    atoms.symbols[~copper] = "Al"
    constant = np.mean([LATTICE_CONSTANTS[symbol] for symbol in atoms.get_chemical_symbols()])
    deformation = (1 + generator.uniform(-0.04, 0.04)) * np.eye(3) + generator.uniform(-0.03, 0.03, (3, 3))
    atoms.set_cell(constant * atoms.cell.array @ deformation, scale_atoms=True)
    return atoms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("data/alcu_emt.xyz"))
    parser.add_argument("--steps", type=int, default=120, help="steps of 4 fs before a configuration is saved")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    generator = np.random.default_rng(arguments.seed)
    repeats = [repeat for repeat, count in REPEATS.items() for _ in range(count)]
    frames = []
    for repeat in tqdm([repeats[i] for i in generator.permutation(len(repeats))], desc="Al-Cu"):
        atoms = alloy(repeat, generator)
        atoms.calc = EMT()
        temperature = generator.uniform(100, 1200)
        thermalize_momenta(atoms, temperature_K=temperature, rng=generator)
        Langevin(
            atoms, 4 * units.fs, temperature_K=temperature, friction=0.02 / units.fs, fixcm=False, rng=generator
        ).run(arguments.steps)
        frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        frame.info["temperature"] = round(temperature)
        frame.info["config_type"] = {0: "Al", len(atoms): "Cu"}.get(int((atoms.numbers == 29).sum()), "AlCu")
        frame.calc = SinglePointCalculator(
            frame, energy=atoms.get_potential_energy(), forces=atoms.get_forces(), stress=atoms.get_stress(voigt=False)
        )
        frames.append(frame)
    write(arguments.output, frames, format="extxyz")
    print(f"{arguments.output}: {len(frames)} structures, {arguments.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
