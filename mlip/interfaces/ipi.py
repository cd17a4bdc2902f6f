"""A client for i-PI: another program moves the atoms, the potential answers with energy, forces and virial."""

from __future__ import annotations

import logging
import socket
import time
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.socketio import IPIProtocol, SocketClient, actualunixsocketname
from ase.parallel import world

BETWEEN_ATTEMPTS = 0.2  # s

logger = logging.getLogger(__name__)


class Server(NamedTuple):
    """Where a server of the i-PI protocol listens: a host's port, or a socket file of this machine."""

    host: str = "localhost"
    port: int = 31415
    unixsocket: str | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.unixsocket is None else str(actualunixsocketname(self.unixsocket))

    def as_input(self) -> str:
        """The same as it stands in i-PI's input."""
        mode, address = ("inet", self.host) if self.unixsocket is None else ("unix", self.unixsocket)
        port = f" <port> {self.port} </port>" if self.unixsocket is None else ""
        return f"<ffsocket mode='{mode}' name='mlip'> <address> {address} </address>{port} </ffsocket>"


def answer(atoms: Atoms, server: Server, *, wait: float = 0.0) -> int:
    """Evaluate the positions and cells that a server sends, by the atoms' calculator, until the server ends.

    The protocol sends no elements and no periodic directions: they are those of `atoms`, in the server's order. The
    virial, -V times the stress, is sent if all three directions are periodic; else zeros are. Constraints of the atoms
    are dropped: they are the server's matter.

    Args:
        atoms: with a calculator; their positions and cell follow the server's.
        server: where it listens.
        wait: how long to try until it does (s).

    Returns:
        how many structures were evaluated.

    Raises:
        ValueError: there is no server, it has another number of atoms, the potential does not know an element, or a
            prediction is not finite.

    Source: Ceriotti, More, Manolopoulos, Comput. Phys. Commun. 185, 1019 (2014); Ask Hjorth Larsen's client in ASE.
    """
    atoms.set_constraint()
    atoms.get_potential_energy()  # an unknown element is an error before the server waits for it
    client = _connected(server, len(atoms), wait)
    logger.info("connected to %s", server)
    if not atoms.pbc.all():
        logger.info("no virial is sent, since pbc is %s: not for a barostat", atoms.pbc.tolist())
    evaluations = 0
    try:
        for _ in client.irun(atoms, use_stress=bool(atoms.pbc.all())):
            evaluations += 1
            if not (np.isfinite(atoms.get_potential_energy()) and np.isfinite(atoms.get_forces()).all()):
                raise ValueError(
                    f"structure {evaluations} of {server}: the energy or a force is not finite. The structure is "
                    "outside of what the potential was trained on, or the server's timestep is too long"
                )
    except ConnectionError as error:
        logger.warning("the connection to %s broke: %s", server, error)
    return evaluations


class _Client(SocketClient):
    """ASE's client, for a fixed number of atoms; ASE's own constructor leaves the socket open when nobody listens."""

    def __init__(self, server: Server, atoms: int) -> None:
        if server.unixsocket is None:
            connection = socket.create_connection((server.host, server.port))
        else:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(actualunixsocketname(server.unixsocket))
            except OSError:
                connection.close()
                raise
        self.comm = world
        self.protocol = _Checked(connection, atoms)
        self.log = self.protocol.log
        self.closed = False
        self.state = "READY"


class _Checked(IPIProtocol):
    """The protocol, for so many atoms."""

    def __init__(self, connection: socket.socket, atoms: int) -> None:
        super().__init__(connection)
        self.atoms = atoms

    def recvposdata(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cell, inverse, positions = super().recvposdata()
        if len(positions) != self.atoms:
            raise ValueError(
                f"the server sends {len(positions)} atoms, the start has {self.atoms}; expected the same structure, "
                "its atoms in the same order"
            )
        return cell, inverse, positions


def _connected(server: Server, atoms: int, wait: float) -> _Client:
    end = time.monotonic() + wait
    while True:
        try:
            return _Client(server, atoms)
        except OSError as error:
            if time.monotonic() > end:
                raise ValueError(
                    f"no i-PI server at {server} ({error.strerror or error}). Start it first, with "
                    f"{server.as_input()} in its input"
                ) from error
        time.sleep(BETWEEN_ATTEMPTS)
