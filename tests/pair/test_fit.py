"""Pair potentials fitted to data that they made themselves find their parameters again."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from interfaces.trained import ALCU, ETHANOL

from mlip.batch import collate, pair_vectors, sum_per_structure, to_batch
from mlip.data.read import read_structures
from mlip.model.derivatives import forces_of, stress_of
from mlip.pair.fit import fitted_pair_potential
from mlip.pair.forms import FORMS
from mlip.pair.potential import PairPotential
from mlip.units import COULOMB

ENDS = {"cutoff": 5.0, "inner": 3.6}
REFERENCES = {13: -1.2, 29: 0.7}
TRUTH = {
    "lennard_jones": [[0.4, 2.5], [0.3, 2.4], [0.35, 2.3]],
    "morse": [[0.27, 1.16, 3.25], [0.4, 1.3, 2.9], [0.343, 1.36, 2.87]],
    "buckingham": [[900.0, 0.3, 20.0], [1200.0, 0.28, 30.0], [1500.0, 0.27, 25.0]],
    "born_mayer": [[900.0, 0.3], [1200.0, 0.28], [1500.0, 0.27]],
    "zbl": [[COULOMB * 169, 0.12], [COULOMB * 13 * 29, 0.11], [COULOMB * 29 * 29, 0.1]],
}


def labelled(structures, potential):
    """The structures with the potential's energies, forces and stress, and reference energies."""
    batch = collate([to_batch(s, potential.cutoff)[0] for s in structures])
    vectors = pair_vectors(batch)
    by_atom, gradient = potential(batch.numbers, batch.pairs, vectors)
    energies = sum_per_structure(by_atom, batch).tolist()
    forces = np.split(forces_of(batch, gradient).numpy(), np.cumsum([len(s) for s in structures])[:-1])
    stress = stress_of(batch, vectors, gradient).numpy()
    return [
        replace(s, energy=e + sum(REFERENCES[int(z)] for z in s.numbers), forces=f, stress=t)
        for s, e, f, t in zip(structures, energies, forces, stress, strict=True)
    ]


@pytest.fixture(scope="module")
def metals():
    return [s for s in read_structures(ALCU)[:60] if len(s) <= 8][:24]


@pytest.mark.parametrize("form", TRUTH)
@pytest.mark.parametrize("references", [None, list(REFERENCES.values())])
def test_parameters_are_found_again(form, references, metals):
    truth = PairPotential(tuple(REFERENCES), form, rows=TRUTH[form], **ENDS)
    data = labelled(metals, truth)
    found = fitted_pair_potential(data, tuple(REFERENCES), form, **ENDS, references=references)
    np.testing.assert_allclose(found.table, truth.table, rtol=1e-6)


@pytest.mark.parametrize("form", ["lennard_jones", "morse"])
@pytest.mark.parametrize("labels", ["energy", "forces"])
def test_of_one_element_from_one_kind_of_label(form, labels, metals):
    truth = PairPotential((29,), form, rows=TRUTH[form][2:], **ENDS)
    copper = [replace(s, numbers=np.full(len(s), 29)) for s in metals]
    data = [
        replace(s, stress=None, **({"forces": None} if labels == "energy" else {"energy": None}))
        for s in labelled(copper, truth)
    ]
    found = fitted_pair_potential(data, (29,), form, **ENDS)
    np.testing.assert_allclose(found.table, truth.table, rtol=1e-6)


def test_given_parameters_stay_and_the_others_are_found(metals):
    truth = PairPotential(tuple(REFERENCES), "morse", rows=TRUTH["morse"], **ENDS)
    given = {"Cu-Al": {"a": 1.3, "depth": 0.4, "r0": 2.9}}
    found = fitted_pair_potential(labelled(metals, truth), tuple(REFERENCES), "morse", **ENDS, given=given)
    assert found.table[1].tolist() == TRUTH["morse"][1]
    np.testing.assert_allclose(found.table, truth.table, rtol=1e-6)
    everything = {name: {"depth": 0.1, "a": 1.0, "r0": 2.0} for name in ("Al-Al", "Al-Cu", "Cu-Cu")}
    assert fitted_pair_potential([], (13, 29), "morse", **ENDS, given=everything).table[0].tolist() == [0.1, 1.0, 2.0]
    with pytest.raises(ValueError, match="given for Al-Fe; the data hold the pairs Al-Al, Al-Cu, Cu-Cu"):
        fitted_pair_potential(metals, (13, 29), "morse", **ENDS, given={"Al-Fe": {}})
    with pytest.raises(ValueError, match="parameters of Al-Al are sigma; a morse curve takes depth, a, r0"):
        fitted_pair_potential(metals, (13, 29), "morse", **ENDS, given={"Al-Al": {"sigma": 1.0}})


def test_a_spline_comes_near_to_any_curve(metals):
    """Ever nearer with more knots: the fourth power of their distance."""
    truth = PairPotential(tuple(REFERENCES), "morse", rows=TRUTH["morse"], **ENDS)
    data, errors = labelled(metals, truth), []
    for knots in (6, 12, 24):
        found = fitted_pair_potential(data, tuple(REFERENCES), "spline", **ENDS, knots=knots, smoothing=0.0)
        r = torch.linspace(2.6, 4.6, 50, dtype=torch.float64)
        kind = torch.full((50,), 1)
        errors.append(float((found.curve(r, kind)[1] - truth.curve(r, kind)[1]).abs().max()))
    assert errors[1] < 0.3 * errors[0] and errors[2] < 0.3 * errors[1] and errors[2] < 2e-3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("file", [ALCU, ETHANOL], ids=["metal", "molecule"])
def test_every_dimer_is_repelled_to_a_third_of_an_angstrom(form, file):
    """Fitted to real data, below what these hold."""
    structures = read_structures(file)[:40]
    elements = tuple(sorted({int(z) for s in structures for z in s.numbers}))
    found = fitted_pair_potential(structures, elements, form, **ENDS)
    for kind, (name, (minimum, _)) in enumerate(found.minima(1e-3).items()):
        core = float(found.cores[kind, 0])
        end = core if core > 0.4 else min(0.95 * minimum, 1.5 if form != "morse" else minimum)
        r = torch.linspace(0.3, end, 100, dtype=torch.float64)
        energies, slopes = found.curve(r, torch.full((100,), kind))
        assert (slopes < 0).all() and (energies.diff() < 0).all(), (form, name)


def test_without_labels_there_is_no_fit(metals):
    bare = [replace(s, energy=None, forces=None, stress=None) for s in metals]
    with pytest.raises(ValueError, match="no structure has an energy, forces or stress"):
        fitted_pair_potential(bare, (13, 29), "morse", **ENDS)
