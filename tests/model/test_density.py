"""Density of the training set's features: distances by the textbook, kept in files, larger where nothing was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from interfaces.trained import ALCU, alcu, ethanol, molecule
from physics import zoo

from mlip.data.read import read_structures
from mlip.data.write import to_atoms
from mlip.evaluation import evaluate_structures
from mlip.interfaces.calculator import MLIPCalculator
from mlip.model.checkpoint import fingerprint, load_potential, potential_content, potential_from, save_potential
from mlip.model.committee import committee_of, member_of
from mlip.model.density import SMALLEST, FeatureDensity, fitted_density
from mlip.model.scaling import fitted_scaling
from mlip.model.sparsity import SparsityCount
from model.ranged import ALL, features_of


def cloud(count=200, functions=6, seed=0):
    """Features that go together."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(functions, functions)) * np.logspace(0, -1, functions)[:, None]
    return torch.from_numpy(3.0 + generator.normal(size=(count, functions)) @ mixing)


def with_density(name="mixed cutoffs", structures=ALL):
    potential = zoo.POTENTIALS[name]()
    features, element = features_of(potential, structures)
    potential.density = fitted_density([features[element == e] for e in range(len(potential.elements))])
    return potential


def zeros(count):
    return torch.zeros(count, dtype=torch.int64)


def test_all_components_are_mahalanobis_distance():
    values = cloud()
    density = fitted_density([values], components=6)
    assert density.variances.min() > SMALLEST
    away = values.numpy() - values.numpy().mean(axis=0)
    inverse = np.linalg.inv(away.T @ away / len(away))
    expected = np.sqrt(np.einsum("nd,de,ne->n", away, inverse, away))
    found = density.distances(values, zeros(200)).distance
    np.testing.assert_allclose(found, expected / expected.max(), rtol=1e-9)
    assert found.max() == pytest.approx(1.0, rel=1e-12)


def test_few_components_are_a_normal_distribution_with_equal_noise():
    """Tipping and Bishop: the covariance W W^T + sigma^2, inverted as a whole."""
    values, kept = cloud(), 2
    density = fitted_density([values], components=kept)
    scaling = fitted_scaling([values], "half")
    y = ((values - scaling.shift[0]) / scaling.scale[0]).numpy()
    variances, vectors = np.linalg.eigh(y.T @ y / len(y))
    noise = variances[:-kept].mean()
    covariance = noise * np.eye(6) + (vectors[:, -kept:] * (variances[-kept:] - noise)) @ vectors[:, -kept:].T
    other = cloud(seed=3)
    z = ((other - scaling.shift[0]) / scaling.scale[0]).numpy()

    def distance(y):
        return np.sqrt(np.einsum("nd,nd->n", y, np.linalg.solve(covariance, y.T).T))

    found = density.distances(other, zeros(200))
    np.testing.assert_allclose(found.distance, distance(z) / distance(y).max(), rtol=1e-9)
    shares = z * np.linalg.solve(covariance, z.T).T
    assert np.array_equal(found.function, shares.argmax(axis=1))


@pytest.mark.parametrize("name", ["mixed formulas", "weighted", "per center"])
def test_no_training_atom_is_beyond_and_the_mean_is_at_zero(name):
    potential = with_density(name)
    features, element = features_of(potential, ALL)
    found = potential.density.distances(features, element).distance
    assert (found <= 1 + 1e-9).all()
    for row in element.unique().tolist():
        middle = features[element == row].mean(dim=0, keepdim=True)
        assert potential.density.distances(middle, torch.tensor([row])).distance[0] < 1e-9


def test_grows_along_any_way_out():
    density = fitted_density([cloud()], components=3)
    generator = np.random.default_rng(4)
    for _ in range(20):
        way = torch.from_numpy(generator.normal(size=6))
        line = torch.from_numpy(density.mean[:1]) + torch.linspace(0, 30, 50, dtype=torch.float64)[:, None] * way
        found = density.distances(line, zeros(50)).distance
        assert (np.diff(found) > 0).all()


def test_functions_that_do_not_go_together_are_seen_where_ranges_see_nothing():
    generator = np.random.default_rng(5)
    common = generator.normal(size=300)
    values = torch.from_numpy(np.stack([common, common + 0.01 * generator.normal(size=300)], axis=1))
    strange = torch.tensor([[1.5, -1.5]], dtype=torch.float64)
    assert (strange > values.amin(dim=0)).all() and (strange < values.amax(dim=0)).all()
    assert fitted_density([values]).distances(strange, zeros(1)).distance[0] > 10


def test_an_element_without_atoms_is_not_known():
    density = fitted_density([cloud(), torch.empty(0, 6)])
    assert density.distances(1e3 + cloud(), zeros(200) + 1).distance.max() == 0.0


def test_atoms_that_are_all_the_same():
    density = fitted_density([torch.full((50, 4), 7.0)])
    assert density.distances(torch.full((2, 4), 7.0), zeros(2)).distance.max() == 0.0
    assert density.distances(torch.full((2, 4), 8.0), zeros(2)).distance.min() > 1.0


def test_kept_in_files_and_no_part_of_the_predictions(tmp_path):
    potential = with_density()
    save_potential(tmp_path / "p.pt", potential, {})
    again = load_potential(tmp_path / "p.pt", dtype=torch.float32)
    features, element = features_of(potential, ALL)
    for mine, other in zip(
        potential.density.distances(features, element), again.density.distances(features, element), strict=True
    ):
        assert np.array_equal(mine, other)
    before = fingerprint(potential)
    potential.density = None
    assert fingerprint(potential) == before


def test_older_files_have_none():
    content = potential_content(with_density())
    del content["density"]
    assert potential_from(content).density is None
    with pytest.raises(ValueError, match="the density is of a table of"):
        other = fitted_density([cloud()] * 3).tables()
        potential_from({**content, "density": other})
    tables = fitted_density([cloud()]).tables()
    with pytest.raises(ValueError, match=r"the tables of the density have the shapes"):
        FeatureDensity(**{**tables, "rest": tables["rest"][:0]})


def test_of_a_committee():
    one, same, other = with_density(), with_density(), with_density(structures=ALL[:2])
    together = committee_of([one, same])
    assert together.density is one.density and member_of(together, 1).density is one.density
    assert committee_of([one, other]).density is None


def test_an_atom_pulled_away_is_counted_and_named():
    atoms = molecule()
    atoms.calc = MLIPCalculator(ethanol(), dtype="float64")
    hydrogen = 3
    carbon = int(atoms.get_distances(hydrogen, range(3)).argmin())
    way = atoms.positions[hydrogen] - atoms.positions[carbon]
    way /= np.linalg.norm(way)
    start, count = atoms.positions[hydrogen].copy(), SparsityCount(atoms.calc.potential, "frame")
    found = []
    for stretch in (0.0, 0.4, 0.6, 0.8, 1.0):
        atoms.positions[hydrogen] = start + stretch * way
        found.append(float(atoms.calc.get_property("feature_distance", atoms).max()))
        count.add(atoms.numbers, atoms.calc.distance, f"{stretch} Å")
    assert found[0] < 1.0 < found[1] and found == sorted(found)
    results = count.results()
    assert results["frames"] == 5 and results["frames_beyond"] == 4 and results["first_frame"] == "0.4 Å"
    assert results["worst"]["frame"] == "1.0 Å" and results["worst"]["distance"] == found[-1]
    assert results["worst"]["function"] in count.text() and "4 of 5 frames" in count.text()
    assert results["elements"]["H"]["atoms"] == 30


def test_the_calculator_and_evaluate_agree():
    potential = load_potential(alcu(), dtype=torch.float64)
    structures = [replace(s, energy=None, forces=None, stress=None) for s in read_structures(ALCU)[:3]]
    distances, count = [], SparsityCount(potential, "structure")
    evaluate_structures(potential, structures, sparsity=count, distances=distances)
    for structure, distance in zip(structures, distances, strict=True):
        atoms = to_atoms(structure)
        atoms.calc = MLIPCalculator(potential)
        np.testing.assert_allclose(atoms.calc.get_property("feature_distance", atoms), distance.distance, rtol=1e-8)
    assert count.counted == 3


def test_a_potential_without_a_density_says_so():
    potential = zoo.POTENTIALS["radial"]()
    count = SparsityCount(potential, "structure")
    assert count.results() is None and "has no density of features" in count.text()
    atoms = molecule()
    broken = load_potential(ethanol())
    broken.density = None
    atoms.calc = MLIPCalculator(broken)
    with pytest.raises(ValueError, match="Train it again"):
        atoms.calc.get_property("feature_distance", atoms)
