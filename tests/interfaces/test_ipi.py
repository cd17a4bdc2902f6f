"""The i-PI client: what a server gets is what the calculator gives; mistakes are named; the end is calm."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.calculators.socketio import SocketIOCalculator
from ase.constraints import FixAtoms
from ase.io import write
from ase.md.verlet import VelocityVerlet

from interfaces.command import mlip, refused
from interfaces.trained import alcu, crystal, ethanol, molecule
from mlip.interfaces.calculator import MLIPCalculator
from mlip.interfaces.ipi import Server, answer


def free_port():
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


class Client(threading.Thread):
    """`answer` beside the server, in a thread of its own."""

    def __init__(self, atoms, server, **options):
        super().__init__(daemon=True)
        self.arguments, self.options = (atoms, server), options
        self.evaluations, self.error = None, None
        self.start()

    def run(self):
        try:
            self.evaluations = answer(*self.arguments, wait=20.0, **self.options)
        except ValueError as error:
            self.error = str(error)

    def result(self):
        self.join(timeout=60)
        assert not self.is_alive(), "the client goes on after the server's end"
        return self.evaluations


def with_calculator(atoms, run):
    atoms.calc = MLIPCalculator(run, dtype="float64")
    return atoms


@pytest.mark.parametrize("door", ["inet", "unix"])
@pytest.mark.parametrize(("run", "make"), [(ethanol, molecule), (alcu, crystal)])
def test_the_server_gets_what_the_calculator_gives(run, make, door):
    server = Server(port=free_port()) if door == "inet" else Server(unixsocket=f"mlip-{os.getpid()}")
    where = {"port": server.port} if door == "inet" else {"unixsocket": server.unixsocket}
    here = with_calculator(make(), run())
    client = Client(with_calculator(make(), run()), server)
    there = make()
    generator = np.random.default_rng(1)
    with SocketIOCalculator(timeout=60, **where) as there.calc:
        for _ in range(3):
            move = generator.normal(scale=0.05, size=(len(there), 3))
            strain = np.eye(3) + generator.normal(scale=0.01, size=(3, 3))
            for atoms in (here, there):
                atoms.positions += move
                if atoms.pbc.all():
                    atoms.set_cell(atoms.cell @ strain, scale_atoms=True)
            assert there.get_potential_energy() == pytest.approx(here.get_potential_energy(), rel=1e-12)
            np.testing.assert_allclose(there.get_forces(), here.get_forces(), rtol=0, atol=1e-9)
            if there.pbc.all():
                np.testing.assert_allclose(there.get_stress(), here.get_stress(), rtol=0, atol=1e-11)
    assert client.result() == 3


def test_constraints_of_the_start_hold_no_atom():
    """What is held is the server's matter; ASE's `get_forces` would send zeros."""
    held = with_calculator(molecule(), ethanol())
    held.set_constraint(FixAtoms([0, 1]))
    server = Server(port=free_port())
    client = Client(held, server)
    there = molecule()
    with SocketIOCalculator(port=server.port, timeout=60) as there.calc:
        assert (np.abs(there.get_forces()[:2]).max(axis=1) > 1e-3).all()
    assert client.result() == 1


def test_dynamics_of_the_server_is_that_of_the_calculator():
    server = Server(port=free_port())
    client = Client(with_calculator(molecule(), ethanol()), server)
    there, here = molecule(), with_calculator(molecule(), ethanol())
    with SocketIOCalculator(port=server.port, timeout=60) as there.calc:
        for atoms in (there, here):
            VelocityVerlet(atoms, 0.5 * units.fs).run(50)
    assert client.result() == 51
    moved = np.linalg.norm(here.positions - molecule().positions, axis=1)
    assert moved.max() > 0.02
    np.testing.assert_allclose(there.positions, here.positions, rtol=0, atol=1e-9)


def test_another_number_of_atoms_is_named():
    server = Server(port=free_port())
    client = Client(with_calculator(molecule(), ethanol()), server)
    there = molecule()[:-1]
    with SocketIOCalculator(port=server.port, timeout=60) as there.calc, pytest.raises(OSError):
        there.get_forces()
    assert client.result() is None
    assert "the server sends 8 atoms, the start has 9" in client.error


def test_what_is_not_finite_is_not_sent():
    broken = with_calculator(molecule(), ethanol())
    server = Server(port=free_port())
    evaluate = broken.calc._evaluate

    def without_energy(pairs, atoms):
        results, outside = evaluate(pairs, atoms)
        return results | {"energy": np.nan}, outside

    broken.calc._evaluate = without_energy
    client = Client(broken, server)
    there = molecule()
    with SocketIOCalculator(port=server.port, timeout=60) as there.calc, pytest.raises(OSError):
        there.get_forces()
    client.result()
    assert "structure 1 of" in client.error and "not finite" in client.error


@pytest.fixture
def start(tmp_path):
    write(tmp_path / "start.xyz", molecule())
    return tmp_path / "start.xyz"


def test_the_command_until_the_server_ends(start):
    port, forces = free_port(), []

    def serve():
        there = molecule()
        with SocketIOCalculator(port=port, timeout=60) as there.calc:
            forces.append(there.get_forces())

    server = threading.Thread(target=serve)
    server.start()
    outcome = mlip("ipi", ethanol(), start, "--port", port, "--dtype", "float64", "--json")
    server.join(timeout=60)
    assert outcome.status == 0, outcome
    assert json.loads(outcome.out) == {"server": f"localhost:{port}", "evaluations": 1}
    here = with_calculator(molecule(), ethanol())
    np.testing.assert_allclose(forces[0], here.get_forces(), rtol=0, atol=1e-9)


def test_no_server(start):
    port = free_port()
    absent = mlip("ipi", ethanol(), start, "--wait", 0, "--port", port)
    assert refused(absent, f"no i-PI server at localhost:{port}", "refused", "Start it first", f"<port> {port} </port>")
    absent = mlip("ipi", ethanol(), start, "--wait", 0, "--unixsocket", "nobody")
    assert refused(absent, "no i-PI server at /tmp/ipi_nobody", "mode='unix'", "<address> nobody </address>")
    absent = mlip("ipi", ethanol(), start, "--wait", 0, "--host", "nowhere.invalid")
    assert refused(absent, "no i-PI server at nowhere.invalid:31415")


@pytest.mark.parametrize(
    ("options", "essentials"),
    [(["--port", "70000"], ["--port is 70000", "65535"]), (["--wait", "-1"], ["--wait is -1", "seconds"])],
)
def test_options(start, options, essentials):
    assert refused(mlip("ipi", ethanol(), start, *options), *essentials)


def test_an_element_that_the_potential_does_not_know(tmp_path):
    write(tmp_path / "alloy.xyz", crystal())
    assert refused(mlip("ipi", ethanol(), tmp_path / "alloy.xyz", "--wait", 0), "does not know Al", "H, C, O")


def the_input(port, steps):
    """The input of docs/ipi.md, for another port and fewer steps."""
    page = (Path(__file__).parents[2] / "docs" / "ipi.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```xml\n(.*?)```", page, flags=re.DOTALL)
    assert "<port> 31415 </port>" in text and "<total_steps> 400 </total_steps>" in text
    return text.replace("31415", str(port)).replace(" 400 ", f" {steps} ")


@pytest.mark.parametrize("door", ["inet", "unix"])
def test_path_integrals_of_i_pi(start, door):
    """Four beads of ethanol: i-PI's own conserved quantity, and its potential energies, beads' mean."""
    program = Path(sys.executable).with_name("i-pi")
    if not program.exists():
        pytest.skip("i-PI is missing: pip install ipi")
    port, folder, steps = free_port(), start.parent, 8
    text, where = the_input(port, steps), ("--port", port)
    if door == "unix":
        where = ("--unixsocket", f"mlip-{os.getpid()}")
        text = re.sub(r"<ffsocket .*</ffsocket>", Server(unixsocket=where[1]).as_input(), text)
        assert "mode='unix'" in text
    (folder / "input.xml").write_text(text, encoding="utf-8")
    with (folder / "ipi.log").open("w") as log:
        server = subprocess.Popen([program, "input.xml"], cwd=folder, stdout=log, stderr=log)
        outcome = mlip("ipi", ethanol(), start, *where, "--wait", 60, "--dtype", "float64", "--json")
        assert server.wait(timeout=60) == 0, (folder / "ipi.log").read_text()
    assert outcome.status == 0, outcome
    assert json.loads(outcome.out)["evaluations"] == 4 * (steps + 1)
    conserved, potential = np.loadtxt(folder / "ethanol.out")[:, [2, 4]].T
    assert len(conserved) == steps + 1
    assert np.ptp(conserved) < 0.05 * np.ptp(potential)
    here = with_calculator(molecule(), ethanol())
    assert potential[0] == pytest.approx(here.get_potential_energy(), rel=1e-7), "all beads start from one structure"
