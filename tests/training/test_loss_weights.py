"""Weights of the loss from the structures: by hand, and with units changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlip.assembly import plan_of
from mlip.batch import collate, to_batch
from mlip.configfile import parse_config
from mlip.structure import Structure
from mlip.training.loss import Loss, Term
from mlip.training.loss_weights import lengths_of, with_automatic_weights

LOSS = Loss(Term(7.0), Term(8.0), Term(9.0))
ALL = ("energy", "forces", "stress")


def chain(distances, edge=None):
    """Atoms on a line, in a cubic box if it has an edge."""
    positions = np.zeros((len(distances) + 1, 3))
    positions[1:, 0] = np.cumsum(distances)
    cell = np.eye(3) * (edge or 0.0)
    return Structure(numbers=np.full(len(positions), 14), positions=positions, cell=cell, pbc=np.full(3, bool(edge)))


def atoms_of(*structures, cutoff=5.0):
    return collate([to_batch(structure, cutoff)[0] for structure in structures])


def weights(loss):
    return loss.energy.weight, loss.forces.weight, loss.stress.weight


def test_nearest_distance_by_hand():
    atoms = atoms_of(chain([2.0, 3.0]), chain([1.0, 4.5]), chain([9.0]))
    nearest = lengths_of(atoms).nearest
    assert nearest == pytest.approx((2 + 2 + 3 + 1 + 1 + 4.5) / 6, rel=1e-14), "lone atoms do not count"


def test_weights_by_hand():
    atoms = atoms_of(chain([2.0], edge=10.0), chain([2.0, 2.0, 2.0], edge=20.0), chain([2.0]))
    found = with_automatic_weights(LOSS, ALL, atoms)
    assert weights(found) == pytest.approx((25.0, 1.0, (500**2 + 2000**2) / 2 / 4), rel=1e-13)
    assert (found.energy.form, found.energy.delta) == ("mse", 0.1)


def test_only_the_named_terms_change():
    atoms = atoms_of(chain([2.0], edge=10.0))
    assert weights(with_automatic_weights(LOSS, ("energy",), atoms)) == pytest.approx((25.0, 8.0, 9.0))
    assert with_automatic_weights(LOSS, (), atoms) is LOSS


def test_absolute_errors_have_the_root():
    atoms = atoms_of(chain([2.0], edge=10.0))
    loss = Loss(Term(1.0, "mae"), Term(1.0, "mae"), Term(1.0, "huber"))
    assert weights(with_automatic_weights(loss, ALL, atoms)) == pytest.approx((5.0, 1.0, 250.0**2))


def test_the_unit_of_length_does_not_matter():
    """The loss of the same errors in another unit of length is the same but for the unit of the forces."""
    a = 1.7
    small, large = (atoms_of(chain([2.0 * s, 2.5 * s], edge=9.0 * s), cutoff=5.0 * s) for s in (1.0, a))
    energy, forces, stress = torch.tensor(0.01), torch.tensor(0.2), torch.tensor(0.003)
    first = weights(with_automatic_weights(LOSS, ALL, small))
    second = weights(with_automatic_weights(LOSS, ALL, large))
    before = first[0] * energy**2 + first[1] * forces**2 + first[2] * stress**2
    after = second[0] * energy**2 + second[1] * (forces / a) ** 2 + second[2] * (stress / a**3) ** 2
    assert float(after * a**2) == pytest.approx(float(before), rel=1e-6)


def test_from_the_config():
    terms = {"energy": {"weight": "auto"}, "forces": {"weight": 3.0}, "stress": {"weight": "auto", "form": "mae"}}
    config = parse_config({"data": {"train": "x"}, "training": {"loss": terms}}, "test")
    loss = plan_of(config, atoms_of(chain([2.0], edge=10.0))).stages[0].loss
    assert weights(loss) == pytest.approx((25.0, 3.0, 250.0)) and loss.stress.form == "mae"


def test_a_word_other_than_auto_is_refused():
    with pytest.raises(ValueError, match=r"training\.loss\.energy\.weight"):
        parse_config({"data": {"train": "x"}, "training": {"loss": {"energy": {"weight": "much"}}}}, "test")
