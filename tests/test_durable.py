"""A file is replaced whole or stays as it was, also when the disk is full."""

from __future__ import annotations

import errno
import os
import resource
from contextlib import contextmanager

import pytest

from mlip.durable import sync, write_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_old_one_is_kept_under_its_other_name(tmp_path):
    path, previous = tmp_path / "a", tmp_path / "a.previous"
    for content in ("one", b"two", "three"):
        write_whole(path, content, previous)
    assert (path.read_text(encoding="utf-8"), previous.read_text(encoding="utf-8")) == ("three", "two")
    assert names(tmp_path) == ["a", "a.previous"]


@contextmanager
def largest_file(size):
    """Lets no file grow beyond a number of bytes, as a disk of which so much is left; the test's own output neither."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 4096, 99_999])
def test_a_full_disk_leaves_the_old_one(tmp_path, room):
    path = tmp_path / "a"
    write_whole(path, "old")
    words = r"a: cannot be written \(File too large\)\. What was there before is kept"
    with largest_file(room), pytest.raises(ValueError, match=words):
        write_whole(path, bytes(100_000), tmp_path / "previous")
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a"], "what was begun takes no room"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_each_step_may_fail(tmp_path, monkeypatch, call):
    path = tmp_path / "a"
    write_whole(path, "old")

    def full(*unused):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(ValueError, match=r"a: cannot be written \(No space left on device\)"):
            write_whole(path, "new")
        if call == "fsync":
            with pytest.raises(ValueError, match="cannot be written"):
                sync(path)
    assert path.read_text(encoding="utf-8") == "old"
    write_whole(path, "new")
    assert names(tmp_path) == ["a"]


def test_a_folder_that_refuses_names(tmp_path):
    with pytest.raises(ValueError, match=r"b: cannot be written \(Not a directory\)"):
        (tmp_path / "a").write_text("a file", encoding="utf-8")
        write_whole(tmp_path / "a" / "b", "new")
