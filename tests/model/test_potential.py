import numpy as np
import pytest
import torch
from physics import zoo

from mlip.batch import pair_vectors, to_batch
from mlip.model.potential import Potential
from mlip.structure import Structure


def test_formula_of_the_atomic_energy():
    for name in ("mixed cutoffs", "per center"):
        potential = zoo.POTENTIALS[name]()
        batch = to_batch(zoo.STRUCTURES["molecule"], potential.cutoff)[0]
        features = potential.descriptor(batch.numbers, batch.pairs, pair_vectors(batch))
        energies = potential(features, batch.numbers).detach()
        for i, number in enumerate(batch.numbers.tolist()):
            e = potential.elements.index(number)
            shift, scale = potential.scaling.shift[e], potential.scaling.scale[e]
            network = potential.networks.networks[e]
            value = network(((features[i] - shift) / scale)[None])[0, 0]
            if potential.anchored:
                value = value - network((-shift / scale)[None])[0, 0]
            expected = potential.energy_scale * value + potential.reference_energies[e]
            assert float(energies[i]) == pytest.approx(float(expected.detach()), rel=1e-12)


def test_unknown_element_is_named():
    potential = zoo.POTENTIALS["radial"]()
    batch = to_batch(Structure(np.array([1, 16, 9]), np.eye(3)), potential.cutoff)[0]
    with pytest.raises(ValueError, match=r"does not know F, S; it was trained for H, C, O"):
        potential(torch.zeros(3, len(potential.descriptor.functions), dtype=torch.float64), batch.numbers)


def test_one_reference_energy_per_element():
    made = zoo.POTENTIALS["radial"]()
    with pytest.raises(ValueError, match=r"2 reference energies for the 3 elements H, C, O"):
        Potential(made.descriptor, made.scaling, made.networks, [1.0, 2.0])


def test_facts_of_a_potential():
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    assert (potential.elements, potential.cutoff, potential.dtype) == ((1, 6, 8), 4.2, torch.float64)
    assert potential.device == torch.device("cpu")


def test_isolated_energies_of_an_anchored_potential_are_its_references():
    anchored, free = zoo.POTENTIALS["per center"](), zoo.POTENTIALS["radial"]()
    assert torch.equal(anchored.isolated_energies(), anchored.reference_energies)
    assert (free.isolated_energies() - free.reference_energies).abs().min() > 1e-3


def test_energies_are_summed_in_double_precision():
    """A large reference energy leaves the small part intact: 1e6 eV holds 1e-9 in double, 0.06 in single precision."""
    potential = zoo.potential(zoo.radial(), 1, references=(-1e6, -1e6, -1e6))
    small = zoo.potential(zoo.radial(), 1, references=(0.0, 0.0, 0.0))
    for made in (potential, small):
        made.networks.float()
    batch = to_batch(zoo.STRUCTURES["molecule"], potential.cutoff)[0]
    features = potential.descriptor(batch.numbers, batch.pairs, pair_vectors(batch).float())
    large, rest = (made(features, batch.numbers) for made in (potential, small))
    assert large.dtype == torch.float64
    assert torch.allclose(large + 1e6, rest, rtol=0, atol=1e-9)
