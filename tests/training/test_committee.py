"""Members that are trained together become what each would become alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from physics import zoo
from physics.laws import same

from mlip.batch import Collection, Properties, collate_labels, to_batch
from mlip.descriptors.store import FeatureStore
from mlip.model.committee import committee_of, member_of
from mlip.model.weights import WeightTable
from mlip.structure import Structure
from mlip.training.examples import Examples
from mlip.training.loop import Plan, Stage, Trainer
from mlip.training.loss import Loss, Term
from mlip.training.optimizers import constant, make_optimizer
from mlip.training.step import Step
from mlip.training.subsets import structure_weights

LOSS = Loss(Term(2.0), Term(0.7), Term(30.0))


def examples(potential, structures=8):
    generator = np.random.default_rng(5)
    made = []
    for n in range(structures):
        first = zoo.STRUCTURES["molecule"]
        made.append(
            Structure(
                first.numbers,
                first.positions + generator.normal(size=first.positions.shape) * 0.05,
                energy=float(generator.normal()),
                forces=generator.normal(size=first.positions.shape),
                origin=f"example {n}",
            )
        )
    return Examples(made, potential.cutoff, torch.device("cpu"))


def trained(potential, weights, folder, clip=None):
    folder.mkdir()
    train, empty = examples(potential), examples(potential, 0)
    train.weights = weights
    train.store = FeatureStore(potential.descriptor, train.atoms, potential.dtype)
    plan = Plan(2, 3, (Stage(1, LOSS, 2e-3),), constant(), gradient_clip=clip)
    Trainer(potential, lambda table: make_optimizer("adam", table, 2e-3), train, empty, plan, folder).run(quiet=True)
    return potential


@pytest.mark.parametrize(("method", "clip"), [("all", None), ("bootstrap", 3.0), ("kfold", 3.0)])
def test_together_is_alone(method, clip, tmp_path):
    weights = structure_weights(method, 3, 8, seed=4)
    whole = trained(zoo.POTENTIALS["committee"](), weights, tmp_path / "together", clip)
    for m in range(3):
        alone = member_of(zoo.POTENTIALS["committee"](), m)
        before = [weight.detach().clone() for weight in alone.parameters()]
        trained(alone, None if weights is None else weights[m : m + 1], tmp_path / f"{m}", clip)
        for a, b in zip(member_of(whole, m).parameters(), alone.parameters(), strict=True):
            same(a.detach(), b.detach(), f"member {m}", 1e-9)
        assert (
            max(float((b - old).detach().abs().max()) for b, old in zip(alone.parameters(), before, strict=True)) > 1e-3
        )


@pytest.mark.parametrize("term", ["energy", "forces"])
def test_weighted_structures_are_structures_that_come_more_often(term):
    """A structure with weight 2 is the same structure twice, but for the number that means are taken over."""
    potential = member_of(zoo.POTENTIALS["committee"](), 0)
    made = [to_batch(structure, potential.cutoff) for structure in zoo.MIXED]
    generator = torch.Generator().manual_seed(1)
    labels = collate_labels([label for _, label in made])
    energy, forces = (torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in labels[:2])
    atoms = Collection([batch for batch, _ in made])
    count = len(atoms)
    owner = np.repeat(np.arange(count), np.diff(atoms.atom_start))
    loss = Loss(*(Term(float(name == term)) for name in ("energy", "forces", "stress")))
    step = Step(potential, WeightTable(potential.networks))
    gradients = []
    weights = torch.tensor([[2.0, 0.0, *[1.0] * (count - 2)]], dtype=torch.float64)
    for chosen, given in ((list(range(count)), weights), ([0, 0, *range(2, count)], None)):
        rows = np.concatenate([np.flatnonzero(owner == s) for s in chosen])
        taken = Properties(energy[chosen], forces[rows])
        step(atoms.take(chosen), taken, loss, forces=True, stress=False, features=None, weights=given)
        counted = len(chosen) if term == "energy" else len(rows)
        gradients.append(step.weights.weights.grad * counted)
    same(*gradients, "gradients", 1e-12)
    assert float(gradients[0].abs().max()) > 1e-2


@pytest.mark.parametrize("method", ["bootstrap", "kfold"])
def test_subsets(method):
    weights = structure_weights(method, 4, 50, seed=1)
    assert weights.shape == (4, 50)
    same(weights.mean(dim=1), torch.ones(4), "mean", 1e-14)
    assert torch.equal(weights, structure_weights(method, 4, 50, seed=1)), "the same by seed"
    assert not torch.equal(weights, structure_weights(method, 4, 50, seed=2))
    if method == "kfold":
        assert ((weights == 0).sum(dim=0) == 1).all(), "each structure is left out by one member"
        assert ((weights == 0).sum(dim=1) - 50 / 4).abs().max() < 1
    else:
        assert torch.equal(weights.sum(dim=1), torch.full((4,), 50.0, dtype=torch.float64))
        assert 0.2 < float((weights == 0).double().mean()) < 0.5, "about 1/e is left out"
        assert torch.equal(weights, weights.round())


def test_everything_for_all():
    assert structure_weights("all", 4, 50, seed=1) is None
    assert structure_weights("bootstrap", 1, 50, seed=1) is None


def test_threads_change_no_bit():
    potential = zoo.POTENTIALS["committee"]()
    batch, _ = to_batch(zoo.STRUCTURES["triclinic"], potential.cutoff)
    generator = torch.Generator().manual_seed(2)
    labels = Properties(*(torch.randn(s, generator=generator, dtype=torch.float64) for s in ((1,), (5, 3), (1, 3, 3))))
    step = Step(potential, WeightTable(potential.networks))
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            step(batch, labels, LOSS, forces=True, stress=True, features=None)
            found.append(step.weights.weights.grad.clone())
    finally:
        torch.set_num_threads(1)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_gradients_of_one_member_are_clipped_as_torch_does():
    generator = torch.Generator().manual_seed(3)
    for scale in (0.01, 0.3, 7.0):
        networks = zoo.POTENTIALS["radial"]().networks.float()
        table = WeightTable(networks)
        gradient = scale * torch.randn(table.weights.shape, generator=generator)
        table.weights.grad.copy_(gradient)
        table.clip_gradients(5.0)
        expected = torch.nn.Parameter(torch.zeros_like(gradient))
        expected.grad = gradient
        torch.nn.utils.clip_grad_norm_(expected, 5.0)
        assert torch.equal(table.weights.grad, expected.grad)


def test_a_committee_of_trained_potentials(tmp_path):
    """The mean of two potentials that were trained apart, without training anything again."""
    base = zoo.POTENTIALS["committee"]()
    ones = [trained(member_of(base, m), None, tmp_path / f"{m}") for m in range(2)]
    both = committee_of(ones)
    from mlip.interfaces.calculator import MLIPCalculator

    atoms = Atoms("CHO", [[0, 0, 0], [1.1, 0, 0], [0, 1.3, 0.2]])
    energies = [MLIPCalculator(each).get_potential_energy(atoms) for each in (*ones, both)]
    assert energies[2] == pytest.approx((energies[0] + energies[1]) / 2, rel=1e-12)
