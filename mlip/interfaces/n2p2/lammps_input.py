"""An input for LAMMPS that runs an exported potential with pair_style hdnnp (package ML-HDNNP)."""

from __future__ import annotations

from ase.data import atomic_masses

from mlip.elements import symbol
from mlip.model.potential import Potential
from mlip.units import ENERGY, LENGTH


def lammps_input(potential: Potential, units: str) -> str:
    """The text of in.lammps for a folder in these units, "eV-Ang" or "Ha-Bohr"."""
    bohr = units == "Ha-Bohr"
    names = [symbol(number) for number in potential.elements]
    length, energy = (1 / LENGTH["Bohr"], 1 / ENERGY["Hartree"]) if bohr else (1.0, 1.0)
    remark = (
        "# The files are in Hartree and Bohr, LAMMPS works in eV and Angstrom here: cflength is Bohr per Angstrom and\n"
        "# cfenergy Hartree per eV (CODATA 2014, as the export took them; often written 1.8897261328, 0.0367493254)."
        if bohr
        else "# The files are in eV and Angstrom, as LAMMPS is with units metal, so that cflength and cfenergy are 1."
    )
    # A little more than the largest cutoff in Bohr, which must not seem larger for the last digit.
    cutoff = repr(potential.cutoff) if not bohr else f"{potential.cutoff * (1 + 1e-9):.12g}"
    masses = "\n".join(f"mass {n} {atomic_masses[z]:.6g}" for n, z in enumerate(potential.elements, 1))
    return f"""\
# Run in this folder, with a structure whose atom types are {" ".join(names)}:
#   lmp -in in.lammps -var data structure.data
# LAMMPS needs the package ML-HDNNP (cmake -D PKG_ML-HDNNP=yes), which takes the n2p2 library.
units metal
atom_style atomic
boundary p p p
atom_modify map array
newton on
read_data ${{data}}
{masses}

{remark}
pair_style hdnnp {cutoff} dir "./" showew no showewsum 1000 resetew no maxew 1000000 &
  cflength {length!r} cfenergy {energy!r}
pair_coeff * * {" ".join(names)}

neighbor 2.0 bin
timestep 0.0005
velocity all create 300.0 4711
fix dynamics all nve
thermo 100
thermo_style custom step temp pe etotal press
run 1000
"""
