"""Potentials of the zoo with ranges of features."""

from physics import zoo

from mlip.batch import collate, pair_vectors, to_batch
from mlip.model.ranges import fitted_ranges


def features_of(potential, structures):
    """Features of all atoms by the reference, and the rows of their elements."""
    batch = collate([to_batch(structure, potential.cutoff)[0] for structure in structures])
    features = potential.descriptor(batch.numbers, batch.pairs, pair_vectors(batch))
    return features, potential.element_of(batch.numbers)


ALL = tuple(zoo.STRUCTURES.values())


def with_ranges(name="mixed cutoffs", structures=ALL):
    potential = zoo.POTENTIALS[name]()
    features, element = features_of(potential, structures)
    potential.ranges = fitted_ranges([features[element == e] for e in range(len(potential.elements))])
    return potential
