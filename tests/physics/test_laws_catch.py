"""Every law catches potentials that are broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from mlip.descriptors import cutoffs
from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS
from mlip.model.potential import Potential
from physics import broken, laws, laws_motion, zoo
from physics.subject import Subject, subject_of
from physics.test_laws import BACKENDS, LAWS


@cache
def potential() -> Potential:
    return zoo.POTENTIALS["mixed cutoffs"]()


def intact() -> Subject:
    return subject_of(potential())


# (law, structure, what is broken)
CASES: list[tuple[Callable, str, Callable[[], Subject]]] = [
    (laws.law_rotation, "molecule", lambda: broken.energy(intact(), broken.seen_from_the_origin)),
    (laws.law_rotation, "molecule", lambda: broken.forces(intact(), lambda s, f: f + np.array([0, 0, 1e-6]))),
    (laws.law_rotation, "triclinic", lambda: broken.stress(intact(), lambda s: s + np.diag([1e-6, 0, 0]))),
    (laws.law_rotation, "triclinic", lambda: subject_of(potential(), change=broken.columns_for_rows)),
    (laws.law_rotation, "molecule", lambda: subject_of(broken.single_precision())),
    (laws.law_reflection, "molecule", lambda: broken.energy(intact(), broken.handed)),
    (laws.law_reflection, "left-handed", lambda: broken.stress(intact(), lambda s: s * 0 + np.trace(s))),
    (laws.law_translation, "molecule", lambda: broken.energy(intact(), broken.seen_from_the_origin)),
    (laws.law_translation, "slab", lambda: broken.forces(intact(), lambda s, f: f + 1e-6 * np.sin(s.positions))),
    (laws.law_permutation, "molecule", lambda: broken.energy(intact(), broken.counted)),
    (laws.law_permutation, "triclinic", lambda: broken.forces(intact(), lambda s, f: f[::-1])),
    (laws.law_forces, "molecule", lambda: broken.forces(intact(), lambda s, f: -f)),
    (laws.law_forces, "molecule", lambda: broken.energy(intact(), lambda s, p: 2 * p.energy)),
    (laws.law_forces, "triclinic", lambda: broken.forces(intact(), lambda s, f: f * (1 + 1e-6))),
    (laws.law_forces, "triclinic", lambda: subject_of(broken.single_precision())),
    (laws.law_forces, "molecule", lambda: broken.energy(intact(), lambda s, p: p.energy + 1e-6)),
    (laws.law_stress, "triclinic", lambda: broken.stress(intact(), lambda s: -s)),
    (laws.law_stress, "left-handed", lambda: broken.stress(intact(), lambda s: s * 160.21766)),
    (laws.law_stress, "left-handed", lambda: broken.stress(intact(), lambda s: -s)),
    (laws.law_stress, "one-atom", lambda: broken.stress(intact(), lambda s: s + 1e-8 * np.eye(3, k=1))),
    (laws.law_stress, "wire", lambda: broken.stress(intact(), np.nan_to_num)),
    (laws.law_stress, "triclinic", lambda: broken.without_interaction()),
    (laws.law_supercell, "triclinic", lambda: broken.energy(intact(), lambda s, p: p.energy + 1e-6)),
    (laws.law_supercell, "one-atom", lambda: subject_of(potential(), change=broken.nearest_images_only)),
    (laws.law_supercell, "wire", lambda: broken.forces(intact(), lambda s, f: f * len(s))),
    (laws.law_short_cell, "one-atom", lambda: subject_of(potential(), change=broken.no_self_images)),
    (laws.law_short_cell, "triclinic", lambda: subject_of(potential(), change=broken.no_self_images)),
    (laws.law_short_cell, "one-atom", lambda: subject_of(potential(), change=broken.nearest_images_only)),
    (laws.law_short_cell, "slab", lambda: subject_of(potential(), change=broken.columns_for_rows)),
    (laws.law_lattice_vector, "triclinic", lambda: subject_of(potential(), change=broken.shifts_reversed)),
    (laws.law_lattice_vector, "wire", lambda: subject_of(potential(), change=broken.nearest_images_only)),
    (laws.law_lattice_vector, "slab", lambda: broken.energy(intact(), broken.seen_from_the_origin)),
    (laws.law_newton, "triclinic", lambda: subject_of(potential(), change=broken.one_way_pairs)),
    (laws.law_newton, "molecule", lambda: broken.forces(intact(), lambda s, f: f + np.array([0, 1e-6, 0]))),
    (laws.law_newton, "molecule", lambda: broken.forces(intact(), broken.swirl)),
    (laws.law_newton, "molecule", lambda: broken.without_interaction()),
    (laws.law_far_apart, "molecule", lambda: broken.energy(intact(), lambda s, p: p.energy + 1e-6)),
    (laws.law_far_apart, "molecule", lambda: broken.energy(intact(), lambda s, p: p.energy * len(s))),
    (laws.law_far_apart, "molecule", lambda: broken.without_interaction()),
    (laws.law_far_apart, "molecule", lambda: broken.sees_more_than_stated(intact())),
    (laws.law_isolated, "molecule", lambda: broken.energy(intact(), lambda s, p: p.energy + 1e-6)),
    (laws.law_isolated, "molecule", lambda: broken.forces(intact(), lambda s, f: f + 1e-12)),
    (laws.law_isolated, "molecule", lambda: broken.not_anchored()),
    (laws_motion.law_smooth, "molecule", lambda: broken.without_interaction()),
    (laws_motion.law_smooth, "molecule", lambda: broken.sees_less_than_stated(intact())),
    (laws_motion.law_nve, "molecule", lambda: broken.forces(intact(), broken.swirl)),
    (laws_motion.law_nve, "molecule", lambda: broken.forces(intact(), lambda s, f: -f)),
    (laws_motion.law_nve, "molecule", lambda: broken.energy(intact(), lambda s, p: np.round(p.energy, 3))),
    (laws_motion.law_nve, "molecule", lambda: broken.without_interaction()),
]


@pytest.mark.parametrize(
    ("law", "structure", "make"), [pytest.param(*case, id=f"{case[0].__name__}-{n}") for n, case in enumerate(CASES)]
)
def test_law_catches(law, structure, make):
    with pytest.raises(AssertionError):
        law(make(), zoo.STRUCTURES[structure])


def test_every_law_has_something_it_catches():
    assert set(LAWS) <= {law for law, _, _ in CASES}


@pytest.mark.parametrize(("law", "structure"), sorted({(law, s) for law, s, _ in CASES}, key=str))
def test_law_passes_what_is_not_broken(law, structure):
    law(intact(), zoo.STRUCTURES[structure])


@pytest.mark.parametrize(
    "crosstalk", [broken.pairs_between_structures, broken.first_cell_for_all], ids=lambda f: f.__name__
)
def test_batch_law_catches(crosstalk):
    with pytest.raises(AssertionError):
        laws.law_batch(subject_of(potential(), change=crosstalk), zoo.MIXED)


def test_batch_law_catches_a_mean_over_the_batch():
    whole = intact()

    def predict(structures):
        predictions = whole.predict(structures)
        mean = np.mean([p.energy for p in predictions])
        return [p._replace(energy=p.energy + 1e-6 * (p.energy - mean)) for p in predictions]

    with pytest.raises(AssertionError):
        laws.law_batch(replace(whole, predict=predict), zoo.MIXED)


@pytest.mark.parametrize(
    "jump",
    [
        lambda r, cutoff: (r < cutoff).to(r.dtype),  # no cutoff function: the energy jumps
        lambda r, cutoff: 0.01 + 0.99 * cutoffs.cosine_cutoff(r, cutoff),  # not quite zero at the cutoff
        lambda r, cutoff: (1 - r / cutoff).clamp(min=0),  # the energy is continuous, the force jumps
        lambda r, cutoff: cutoffs.cosine_cutoff(r, 0.99 * cutoff) + 0.01 * (1 - r / cutoff).clamp(min=0),
    ],
    ids=["step", "pedestal", "kink", "small kink"],
)
def test_smoothness_law_catches_a_cutoff_function_that_is_not_smooth(jump, monkeypatch):
    monkeypatch.setitem(CUTOFF_FUNCTIONS, "polynomial", jump)
    rough = subject_of(zoo.POTENTIALS["polynomial cutoff"](), features=BACKENDS["reference"])
    with pytest.raises(AssertionError):
        laws_motion.law_smooth(rough, zoo.STRUCTURES["molecule"])


def test_reflection_is_tested_apart_from_rotation():
    """A chiral energy obeys the rotation law, so only the reflection law stands in its way."""
    chiral = broken.energy(intact(), broken.handed)
    laws.law_rotation(chiral, zoo.STRUCTURES["molecule"])


def test_single_precision_is_single():
    assert broken.single_precision().dtype == torch.float32
