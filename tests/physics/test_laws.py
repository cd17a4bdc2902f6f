"""Every law on every potential of the zoo."""

from functools import cache

import pytest

from physics import laws, laws_motion, zoo
from physics.subject import Subject, subject_of

ALL = list(zoo.STRUCTURES)
PERIODIC = [name for name in ALL if zoo.STRUCTURES[name].pbc.any()]
MOLECULES = [name for name in ALL if name not in PERIODIC]
SEVERAL_ATOMS = [name for name in ALL if len(zoo.STRUCTURES[name]) > 1]

LAWS = {
    laws.law_rotation: ALL,
    laws.law_reflection: ALL,
    laws.law_translation: ALL,
    laws.law_permutation: SEVERAL_ATOMS,
    laws.law_forces: ["molecule", "triclinic", "left-handed", "slab"],
    laws.law_stress: ["triclinic", "left-handed", "one-atom", "wire"],
    laws.law_supercell: PERIODIC,
    laws.law_short_cell: ["triclinic", "one-atom", "slab", "wire"],
    laws.law_lattice_vector: PERIODIC,
    laws.law_newton: SEVERAL_ATOMS,
    laws.law_far_apart: MOLECULES,
    laws.law_isolated: MOLECULES,
    laws_motion.law_smooth: MOLECULES,
    laws_motion.law_nve: ["molecule"],
}


# Laws that do not hold where the energy jumps at a cutoff.
ROUGH = {"hard cutoff": (laws_motion.law_smooth, laws_motion.law_nve)}

# What computes the features: the reference, and what `evaluate` takes by itself.
BACKENDS = {"reference": lambda potential, batch: potential.descriptor, "fastest": None}


@cache
def subject(name: str, backend: str) -> Subject:
    return subject_of(zoo.POTENTIALS[name](), features=BACKENDS[backend])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("law", "structure", "potential"),
    [
        pytest.param(law, name, potential, id=f"{law.__name__}-{name}-{potential}")
        for law in LAWS
        for name in LAWS[law]
        for potential in zoo.POTENTIALS
        if law not in ROUGH.get(potential, ())
    ],
)
def test_law(law, structure, potential, backend):
    law(subject(potential, backend), zoo.STRUCTURES[structure])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("potential", zoo.POTENTIALS)
def test_batch_is_its_structures(potential, backend):
    laws.law_batch(subject(potential, backend), zoo.MIXED)


def test_zoo_has_every_kind_and_every_cutoff_function():
    from mlip.descriptors.compact_functions import SHAPES, CompactFunction
    from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS, WITHOUT_INNER_CUTOFF
    from mlip.descriptors.functions import KINDS, BehlerAngular, Narrow, Radial, Wide

    functions = [f for make in zoo.POTENTIALS.values() for f in make().descriptor.functions]
    found = {(type(f), f.cutoff_function) for f in functions}
    compact = {kind for kind in KINDS.values() if issubclass(kind, CompactFunction)}
    others = set(KINDS.values()) - compact
    assert found >= {(kind, name) for kind in others for name in ("cosine", "tanh", "polynomial")}
    assert compact <= {type(f) for f in functions}
    assert {f.shape for f in functions if isinstance(f, CompactFunction)} >= set(SHAPES) - {"ea"}
    # A cutoff function is a factor of each distance, alike in all kinds; only narrow functions take that of r_jk.
    assert found >= {(kind, name) for kind in (Radial, Narrow) for name in CUTOFF_FUNCTIONS}
    inner = {f.cutoff_function for f in functions if f.inner_cutoff}
    assert inner == set(CUTOFF_FUNCTIONS) - set(WITHOUT_INNER_CUTOFF)
    assert {type(f) for f in functions if isinstance(f, BehlerAngular) and f.r_s} == {Narrow, Wide}


def test_zoo_is_low_in_symmetry():
    import numpy as np

    assert np.linalg.det(zoo.STRUCTURES["left-handed"].cell) < 0
    assert np.linalg.norm(zoo.STRUCTURES["one-atom"].cell, axis=1).max() < 3.0
    assert {tuple(s.pbc.tolist()) for s in zoo.MIXED} == {(False,) * 3, (True,) * 3, *zoo.PERIODIC.values()}
