"""The curves of pair potentials: formulas, slopes, ends, and that nothing comes through."""

import math
from itertools import pairwise

import pytest
import torch
from physics import zoo
from physics.laws import same

from mlip.pair.forms import FORMS, most_dispersion
from mlip.pair.potential import PairPotential, pair_potential_from, pairs_of

WIDE = {"cutoff": 9.0, "inner": 8.0}  # no switch at the distances tried
every_form = pytest.mark.parametrize("form", FORMS)


def curve(potential, kind, distances):
    r = torch.as_tensor(distances, dtype=torch.float64)
    return potential.curve(r, torch.full(r.shape, kind))


@pytest.mark.parametrize(
    ("form", "row", "expected"),
    [
        ("lennard_jones", [0.2, 2.0], lambda r: 0.8 * ((2 / r) ** 12 - (2 / r) ** 6)),
        ("morse", [0.3, 1.5, 2.0], lambda r: 0.3 * ((1 - math.exp(-1.5 * (r - 2))) ** 2 - 1)),
        ("buckingham", [900.0, 0.3, 20.0], lambda r: 900 * math.exp(-r / 0.3) - 20 / r**6),
        ("born_mayer", [900.0, 0.3], lambda r: 900 * math.exp(-r / 0.3)),
        ("zbl", [14.399645 * 14 * 14, 0.4685 / (2 * 14**0.23)], lambda r: {2.0: 1.6347, 3.0: 0.16563}[r]),
    ],
)
def test_the_formula(form, row, expected):
    """ZBL: two silicon atoms, numbers by hand with the digits of LAMMPS's documentation."""
    if form == "zbl":
        x = 2 * 14**0.23 / 0.46850
        terms = [(0.18175, 3.1998), (0.50986, 0.94229), (0.28022, 0.4029), (0.02817, 0.20162)]
        expected = lambda r: 14.399645 * 196 / r * sum(c * math.exp(-d * x * r) for c, d in terms)  # noqa: E731
    potential = PairPotential([14], form, rows=[row], **WIDE)
    energies, _ = curve(potential, 0, [2.0, 3.0])
    assert energies.tolist() == pytest.approx([expected(2.0), expected(3.0)], rel=1e-10)


def test_a_spline_is_any_cubic():
    """Coefficients of B-splines that make a polynomial of third degree (Marsden's identity)."""
    first, h = 1.5, 0.25
    knots = [first + h * (place - 1) for place in range(9)]
    blossom = [-(a - 4) * (b - 4) * (c - 4) for a, b, c in ((k - h, k, k + h) for k in knots)]
    potential = PairPotential([6], "spline", rows=[[first, h, *blossom]], **WIDE)
    r = torch.linspace(1.5, 2.9, 40, dtype=torch.float64)
    energies, slopes = curve(potential, 0, r)
    same(energies, -((r - 4) ** 3), "energy", 1e-12)
    same(slopes, -3 * (r - 4) ** 2, "slope", 1e-12)


@every_form
def test_the_slope_is_that_of_the_energy(form):
    """Within and beyond the core, and through the switch."""
    potential, step = zoo.curves(form), 1e-4
    r = torch.linspace(0.7, 3.95, 300, dtype=torch.float64)
    for kind in range(6):
        points = [curve(potential, kind, r + k * step)[0] for k in (-2, -1, 1, 2)]
        numeric = (points[0] - 8 * points[1] + 8 * points[2] - points[3]) / (12 * step)
        same(curve(potential, kind, r)[1], numeric, f"slope of kind {kind}", 1e-7)


@every_form
def test_energy_force_and_curvature_are_continuous(form):
    """At the core's radius, where the switch begins and where it ends; a cubic spline's curvature has no jump."""
    potential, near, step = zoo.curves(form), 1e-4, 1e-6
    for kind, core in enumerate(potential.cores[:, 0].tolist()):
        for place in {core, potential.inner, potential.cutoff} - {0.0}:
            limits = []
            for side in (-1, 1):
                r = torch.tensor([place + side * n * near for n in (1, 2, 3)], dtype=torch.float64)
                values = [curve(potential, kind, r + shift) for shift in (-step, 0.0, step)]
                one, two, three = torch.stack([*values[1], (values[2][1] - values[0][1]) / (2 * step)]).T
                limits.append(3 * one - 3 * two + three)
            scale = 1.0 + float(limits[0].abs().max())
            assert float((limits[0] - limits[1]).abs().max()) < 1e-5 * scale, (kind, place)


@every_form
def test_it_repels_ever_more_on_the_way_in(form):
    """From a fifth of an angstrom to where the curve is at its data, or its minimum."""
    potential = zoo.curves(form)
    for kind, core in enumerate(potential.cores[:, 0].tolist()):
        end = core or {"morse": 1.2, "lennard_jones": 1.5}.get(form, 2.5)
        energies, slopes = curve(potential, kind, torch.linspace(0.2, end, 200, dtype=torch.float64))
        assert (slopes < 0).all() and (energies.diff() < 0).all()
        assert all(a > b for a, b in pairwise(energies.tolist()))


def test_buckingham_by_itself_does_not():
    """What is continued is needed: the bare curve falls without end."""
    potential = zoo.curves("buckingham")
    r, kind = torch.tensor([0.3], dtype=torch.float64), torch.tensor([5])
    assert float(potential.form.curve(r, potential.table, kind)[0]) < -1000 < 0 < float(curve(potential, 5, r)[0])


def test_the_core_of_buckingham_is_never_beyond_the_data():
    rho = torch.tensor([0.25, 0.3, 0.4], dtype=torch.float64)
    for nearest in (0.8, 1.5, 2.2):
        rows = torch.stack([torch.full_like(rho, 500.0), rho, 500.0 * most_dispersion(rho, nearest)], dim=1)
        radius, _ = FORMS["buckingham"].core(rows)
        assert float(radius.max()) <= nearest + 1e-9


@every_form
def test_plain_values_make_it_again(form):
    potential = zoo.curves(form)
    again = pair_potential_from(potential.as_dict(), zoo.ELEMENTS)
    assert again.as_dict() == potential.as_dict() and torch.equal(again.cores, potential.cores)
    assert pair_potential_from(None, [1]) is None


def test_pairs_have_one_order():
    assert pairs_of((1, 6)) == [(1, 1), (1, 6), (6, 6)]
    assert list(zoo.curves("morse").parameters_by_pair()) == ["H-H", "H-C", "H-O", "C-C", "C-O", "O-O"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "spring"}, "form of a pair potential is 'spring'; known: lennard_jones, morse"),
        ({"inner": 5.0}, r"from inner 5\.0 to cutoff 4\.0 Å; expected 0 <= inner < cutoff"),
        ({"rows": []}, "0 rows of parameters for 1 pairs of elements"),
        ({"rows": [[0.1, 2.0]]}, "C-C: morse takes depth, a, r0; found 2 numbers"),
        ({"rows": [[-0.1, 2.0, 1.0]]}, r"C-C: depth of morse is -0\.1; expected a positive number"),
        ({"form": "buckingham", "rows": [[10.0, 0.3, 500.0]]}, "C of buckingham is 500"),
        ({"form": "spline", "rows": [[1.0, 0.5, 0.1, 0.2, 0.3, 0.4]]}, "does not repel ever more steeply"),
    ],
)
def test_what_is_refused(options, message):
    values = {"form": "morse", "cutoff": 4.0, "inner": 3.0, "rows": [[0.1, 2.0, 1.0]], **options}
    with pytest.raises(ValueError, match=message):
        PairPotential([6], **values)
