"""The screened repulsion: its formula, its ends, its derivatives, and that nothing comes through."""

import math

import numpy as np
import pytest
import torch
from ase import units
from ase.data import covalent_radii
from physics import zoo
from physics.laws import same

from mlip.batch import collate, collate_labels, to_batch
from mlip.model.evaluate import evaluate
from mlip.model.potential import Potential
from mlip.model.repulsion import REPULSIONS, ZBL, repulsion_from
from mlip.model.targets import less_pair_term
from mlip.structure import Structure

ALL_ON = (5.0, 6.0)  # no switch at the distances tried


def pair(numbers, distance):
    positions = np.array([0.3, -0.2, 0.1]) + np.outer([0.0, distance], [0.48, -0.6, 0.64])
    return Structure(np.array(numbers), positions, origin=f"pair at {distance}")


def energy_of(repulsion, numbers, distance):
    batch, _ = to_batch(pair(numbers, distance), repulsion.cutoff)
    vectors = batch.positions[batch.pairs[1]] - batch.positions[batch.pairs[0]]
    return repulsion(batch.numbers, batch.pairs, vectors)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 8), (6, 8), (14, 14), (13, 79)])
@pytest.mark.parametrize("distance", [0.25, 0.6, 1.1])
def test_the_formula(a, b, distance):
    """Against the formula in Hartree and Bohr, with the rounded numbers of the book."""
    length = 0.8854 / (a**0.23 + b**0.23)
    x = distance / units.Bohr / length
    shape = sum(c * math.exp(-d * x) for c, d in [(0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4029), (0.02817, 0.2016)])
    expected = units.Hartree * a * b / (distance / units.Bohr) * shape
    energies, _ = energy_of(ZBL(sorted({a, b}), *ALL_ON), [a, b], distance)
    assert float(energies.sum()) == pytest.approx(expected, rel=1e-3)
    assert float(energies[0]) == float(energies[1])


def test_known_values():
    """Two silicon atoms, by hand with the digits of LAMMPS's documentation: x = 1.0 · 2 · 14^0.23 / 0.4685."""
    x = 2 * 14**0.23 / 0.46850
    shape = 0.18175 * math.exp(-3.1998 * x) + 0.50986 * math.exp(-0.94229 * x)
    shape += 0.28022 * math.exp(-0.4029 * x) + 0.02817 * math.exp(-0.20162 * x)
    energies, _ = energy_of(ZBL([14], *ALL_ON), [14, 14], 1.0)
    assert float(energies.sum()) == pytest.approx(14.399645 * 14 * 14 * shape, rel=1e-6)


def test_nothing_at_bonds_and_all_of_it_deep_inside():
    repulsion, whole = ZBL([1, 6, 8], 0.35, 0.7), ZBL([1, 6, 8], *ALL_ON)
    for numbers in ([1, 1], [1, 8], [6, 6], [6, 8]):
        radii = covalent_radii[numbers].sum()
        batch, _ = to_batch(pair(numbers, 0.7001 * radii), 3.0)
        vectors = batch.positions[batch.pairs[1]] - batch.positions[batch.pairs[0]]
        energies, gradient = repulsion(batch.numbers, batch.pairs, vectors)
        assert not energies.any() and not gradient.any()
        for a, b in zip(*(energy_of(one, numbers, 0.34 * radii) for one in (repulsion, whole)), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("end", ["inner", "outer"])
def test_energy_force_and_curvature_are_continuous(end):
    """Limits from both sides, extrapolated from three points each; the curvature in the middle is not small."""
    repulsion = ZBL([6, 8], 0.5, 0.9)
    at, near, step = float(getattr(repulsion, end)[0, 1]), 1e-4, 1e-6

    def derivatives(distances):
        r = torch.tensor(distances, dtype=torch.float64)
        a = torch.zeros(len(r), dtype=torch.int64)
        values = [repulsion._of_pairs(r + shift, a, a + 1) for shift in (-step, 0.0, step)]
        found = torch.stack([*values[1], (values[2][1] - values[0][1]) / (2 * step)])
        return torch.where(r < repulsion.outer[0, 1], found, 0.0)  # as `forward` takes only those within

    limits = []
    for side in (-1, 1):
        one, two, three = derivatives([at + side * n * near for n in (1, 2, 3)]).T
        limits.append(3 * one - 3 * two + three)
    assert float((limits[0] - limits[1]).abs().max()) < 1e-5
    middle = derivatives([0.5 * float(repulsion.inner[0, 1] + repulsion.outer[0, 1])])
    assert float(middle.abs().min()) > 5.0


@pytest.mark.parametrize("numbers", [[1, 1], [1, 8], [6, 8]])
def test_the_slope_is_that_of_the_energy_and_always_repels(numbers):
    repulsion = ZBL([1, 6, 8], 0.35, 0.7)
    a, b = (torch.tensor([repulsion.elements.index(z)]) for z in numbers)
    end = float(repulsion.outer[a, b])
    r = torch.linspace(0.1, end - 1e-3, 200, dtype=torch.float64)
    a, b, step = a.expand(len(r)), b.expand(len(r)), 1e-4
    points = [repulsion._of_pairs(r + k * step, a, b)[0] for k in (-2, -1, 1, 2)]
    numeric = (points[0] - 8 * points[1] + 8 * points[2] - points[3]) / (12 * step)
    energy, slope = repulsion._of_pairs(r, a, b)
    same(slope, numeric, "slope", 1e-7)
    assert (slope < 0).all() and (energy > 0).all() and (energy.diff() < 0).all()


def test_what_is_refused():
    for inner, outer in ((0.7, 0.35), (0.5, 0.5), (-0.1, 0.5), (0.1, math.inf)):
        with pytest.raises(ValueError, match=r"model\.repulsion goes from inner .* expected 0 <= inner < outer"):
            ZBL([1], inner, outer)
    with pytest.raises(ValueError, match=r"model\.repulsion reaches to .* beyond the descriptor's cutoff of 4\.0"):
        zoo.potential(zoo.radial(4.0), 1, repulsion=(1.0, 3.0))
    with pytest.raises(ValueError, match="the repulsion is for H, C, the descriptor for H, C, O"):
        old = zoo.POTENTIALS["radial"]()
        Potential(old.descriptor, old.scaling, old.networks, [0.0] * 3, repulsion=ZBL([1, 6], 0.3, 0.6))


def test_plain_values_make_it_again():
    repulsion = ZBL([1, 6], 0.3, 0.6)
    again = repulsion_from(repulsion.as_dict(), [1, 6])
    assert again.as_dict() == {"name": "zbl", "inner": 0.3, "outer": 0.6} and set(REPULSIONS) == {"zbl"}
    assert torch.equal(again.outer, repulsion.outer) and repulsion_from(None, [1]) is None


def test_labels_less_the_repulsion():
    """Predictions without the repulsion against these are whole predictions against the labels."""
    potential = zoo.POTENTIALS["repulsion"]()
    generator = np.random.default_rng(0)
    structures = [
        Structure(
            s.numbers, s.positions, s.cell, s.pbc,
            energy=float(generator.normal()),
            forces=generator.normal(size=s.positions.shape),
            stress=generator.normal(size=(3, 3)) if s.pbc.all() else None,
        )
        for s in zoo.MIXED
    ]  # fmt: skip
    batch = collate([to_batch(s, potential.cutoff)[0] for s in structures])
    targets = less_pair_term(structures, potential.repulsion)
    assert any(a is b for a, b in zip(targets, structures, strict=True)), "nothing is made anew where it ends"
    errors = []
    for labels, pair_terms in ((structures, True), (targets, False)):
        known = collate_labels([to_batch(s, 1.0)[1] for s in labels])
        found = evaluate(potential, batch, pair_terms=pair_terms)
        errors.append([a.detach() - b for a, b in zip(found[:3], known[:3], strict=True)])
    for name, a, b in zip(("energy", "forces", "stress"), *errors, strict=True):
        same(a, b, name)
    assert float((errors[0][0] - evaluate(potential, batch, pair_terms=False).energy).abs().max()) > 0.1
    assert less_pair_term(structures, None) == structures and less_pair_term([], potential.repulsion) == []


def test_missing_labels_stay_missing():
    close = Structure(np.array([6, 6]), np.array([[0.0, 0, 0], [0, 0, 0.7]]), energy=1.0)
    (target,) = less_pair_term([close], ZBL([6], 0.35, 0.7))
    assert target.energy < -10 and target.forces is None and target.stress is None
