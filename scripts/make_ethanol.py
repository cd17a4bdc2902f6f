"""Make data/ethanol_xtb.npz: ethanol from 500 K Langevin dynamics with GFN2-xTB, in the MD17 layout.

    pip install tblite
    python scripts/make_ethanol.py --output data/ethanol_xtb.npz

The file holds `R` (n,9,3) in Å, `E` (n,) in kcal/mol, `F` (n,9,3) in kcal/mol/Å and `z` (9,), as MD17 does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import units
from ase.build import molecule
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from tqdm import tqdm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("data/ethanol_xtb.npz"))
    parser.add_argument("--configurations", type=int, default=2000)
    parser.add_argument("--temperature", type=float, default=500.0, help="K")
    parser.add_argument("--timestep", type=float, default=0.5, help="fs")
    parser.add_argument("--interval", type=int, default=50, help="steps between two saved configurations")
    parser.add_argument("--equilibration", type=int, default=4000, help="steps thrown away at the start")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    from tblite.ase import TBLite

    generator = np.random.default_rng(arguments.seed)
    atoms = molecule("CH3CH2OH")
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.1)
    thermalize_momenta(atoms, temperature_K=arguments.temperature, rng=generator)
    dynamics = Langevin(
        atoms,
        timestep=arguments.timestep * units.fs,
        temperature_K=arguments.temperature,
        friction=0.01 / units.fs,
        fixcm=False,
        rng=generator,
    )
    dynamics.run(arguments.equilibration)
    positions, energies, forces = [], [], []
    for _ in tqdm(range(arguments.configurations), desc="ethanol"):
        dynamics.run(arguments.interval)
        positions.append(atoms.positions - atoms.get_center_of_mass())
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    per_kcal = units.mol / units.kcal
    np.savez_compressed(
        arguments.output,
        R=np.array(positions),
        E=np.array(energies) * per_kcal,
        F=np.array(forces) * per_kcal,
        z=atoms.numbers.astype(np.int64),
        name="ethanol",
        theory="GFN2-xTB",
        e_unit="kcal/mol",
        r_unit="Ang",
    )
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
