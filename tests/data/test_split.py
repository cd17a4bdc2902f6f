import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlip.data.split import Split, read_split, split_indices, write_split

COUNT = st.integers(1, 300)


def test_the_order_is_that_of_a_seeded_shuffle():
    order = np.random.default_rng(7).permutation(1000).tolist()
    split = split_indices(1000, 950, 50, None, seed=7)
    assert split == Split(order[:950], order[950:], [])
    assert split == split_indices(1000, 950, 50, 0, seed=7)
    assert split != split_indices(1000, 950, 50, None, seed=8)
    assert split_indices(1000, 900, 50, None, seed=7) == (order[:900], order[900:950], order[950:])
    assert all(type(place) is int for places in split for place in places)


@pytest.mark.parametrize(
    ("count", "sizes", "expected"),
    [
        (10, (None, None, None), (10, 0, 0)),
        (10, (None, 2, 3), (5, 2, 3)),
        (10, (None, 2, None), (8, 2, 0)),
        (10, (4, None, None), (4, 0, 6)),
        (10, (4, 1, 2), (4, 1, 2)),
        (10, (0.8, 0.1, 0.1), (8, 1, 1)),
        (1001, (0.8, 0.1, 0.1), (801, 100, 100)),
        (100, (0.29, None, 0.1), (29, 0, 10)),
        (10, (1.0, None, None), (10, 0, 0)),
        (10, (1, 1, 1), (1, 1, 1)),
        (3, (0.5, 1, None), (2, 1, 0)),
        (1000, (None, 0.05, None), (950, 50, 0)),
    ],
)
def test_sizes(count, sizes, expected):
    assert tuple(len(places) for places in split_indices(count, *sizes, seed=0)) == expected


@given(COUNT, st.data())
def test_no_place_is_lost_or_used_twice(count, data):
    train = data.draw(st.integers(1, count))
    valid = data.draw(st.integers(0, count - train))
    split = split_indices(count, train, valid, None, seed=data.draw(st.integers(0, 5)))
    assert sorted(split.train + split.valid + split.test) == list(range(count))
    assert (len(split.train), len(split.valid)) == (train, valid)


@given(st.integers(100, 5000), st.integers(1, 98), st.data())
def test_fractions_of_sum_one_share_out_everything(count, first, data):
    second = data.draw(st.integers(1, 99 - first))
    fractions = (first / 100, second / 100, (100 - first - second) / 100)
    split = split_indices(count, *fractions, seed=1)
    assert sorted(split.train + split.valid + split.test) == list(range(count))
    for places, fraction in zip(split, fractions, strict=True):
        assert abs(len(places) - fraction * count) <= 1


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((8, 2, 1), "train 8 \\+ valid 2 \\+ test 1 = 11 structures; there are 10"),
        ((0.9, 2, None), "= 11 structures; there are 10"),
        ((None, 5, 5), "the training set is empty"),
        ((0, 5, None), "the training set is empty"),
        ((None, 0.7, 0.7), "there are 10"),
        ((-1, None, None), "train is -1; expected"),
        ((1.5, None, None), "train is 1.5; expected"),
        ((5, 0.0, None), "valid is 0.0; expected"),
        ((5, float("nan"), None), "valid is nan; expected"),
        ((True, None, None), "train is True; expected"),
        ((None, 0.01, None), "valid is 0.01; of 10 structures that is none"),
    ],
)
def test_impossible_splits(sizes, words):
    with pytest.raises(ValueError, match=words):
        split_indices(10, *sizes, seed=0)


def test_nothing_to_split():
    with pytest.raises(ValueError, match="the training set is empty"):
        split_indices(0, None, None, None, seed=0)


def test_a_split_comes_back_from_its_file(tmp_path):
    split = split_indices(50, 30, 10, None, seed=3)
    write_split(tmp_path / "split.json", split)
    assert read_split(tmp_path / "split.json", 50) == split
    write_split(tmp_path / "numpy.json", Split(*(np.array(places) for places in split)))
    assert read_split(tmp_path / "numpy.json", 50) == split


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"train": [0, 1], "valid": [2], "test": [50]}, "test holds 50; expected 0 to 49, as there are 50 structures"),
        ({"train": [0, -1], "valid": [], "test": []}, "train holds -1"),
        ({"train": [0, 1, 0], "valid": [], "test": []}, "0 is in train and again in train"),
        ({"train": [0, 1], "valid": [2, 1], "test": []}, "1 is in train and again in valid"),
        ({"train": [0, 1.0], "valid": [], "test": []}, "train holds 1.0; expected whole numbers"),
        ({"train": [True], "valid": [], "test": []}, "train holds True"),
        ({"train": ["0"], "valid": [], "test": []}, "train holds '0'"),
        ({"train": 3, "valid": [], "test": []}, "train is int; expected a list"),
        ({"train": [], "valid": [1], "test": []}, "the training set is empty"),
        ({"train": [1], "valid": []}, "expected the lists train, valid and test; found train, valid"),
        ({"train": [1], "valid": [], "test": [], "rest": []}, "found train, valid, test, rest"),
        ([1, 2], "found list"),
        ("{", "not a JSON file"),
    ],
)
def test_files_that_are_no_split(tmp_path, content, words):
    path = tmp_path / "split.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=f"split.json: .*{words}"):
        read_split(path, 50)


def test_a_split_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"split\.json: no such file"):
        read_split(tmp_path / "split.json", 50)
