"""What happens to files: bytes that flip, lines that are lost, numbers that are none."""

import re

from hypothesis import settings
from hypothesis import strategies as st

from fuzz.guard import LONG

NUMBER = re.compile(rb"-?\d+\.?\d*(?:[eE][-+]?\d+)?")
VALUES = [
    b"nan", b"NaN", b"inf", b"-inf", b"1e400", b"-1e400", b"1e308", b"-1e308", b"1e-320", b"-0", b"0", b"-1", b"1e-9",
    b"1000000000000", b"99999999999999999999", b"9" * 5000, b"", b"text", b"[]", b"{}", b"null", b"~", b"true", b"1_0",
    b"0x10", b"1,5", b'"', b"'", b"\\", b"\x00", b"\xff\xfe", "²".encode(), "٣".encode(), b"3.7", b"1e9", b"1e20",
    b"119", b"-5", b"%s", b"\x1b[31m", b"\r", b"\n", b" ", b"\t", b"a" * 3000, b"1.5D+03",
]  # fmt: skip
WORDS = [
    b"&a [*a]",
    b"*a",
    b"<<: *a",
    b"- - - -",
    b": : :",
    b"!!python/object/apply:os.system [id]",
    b"!!int x",
    b"? ?",
]
WORDS += [
    b"begin",
    b"end",
    b"atom",
    b"lattice 0 0 0",
    b'Lattice="0 0 0 0 0 0 0 0 0"',
    b'pbc="T T T"',
    b"Properties=",
    b"=",
    b"#",
]
place = st.floats(0, 1, exclude_max=True, allow_nan=False)


def cases(normal, long):
    """Settings of a test with so many cases."""
    return settings(settings.get_profile("fuzz"), max_examples=long if LONG else normal)


def at(content, share):
    return int(share * len(content))


def flip(content, share, value):
    i = at(content, share)
    return content[:i] + bytes([content[i] ^ (value % 255 + 1)]) + content[i + 1 :] if content else content


def fill(content, share, value):
    """Several bytes alike, as a length or a count that lies."""
    i = at(content, share)
    return content[:i] + bytes([(0, 0xFF, 0x7F, 0x80)[value % 4]]) * (1 + value % 8) + content[i + 1 + value % 8 :]


def cut(content, share, value):
    return content[: at(content, share)]


def drop(content, share, value):
    i = at(content, share)
    return content[:i] + content[i + 1 + value % 64 :]


def insert(content, share, value):
    i = at(content, share)
    return content[:i] + (VALUES + WORDS)[value % len(VALUES + WORDS)] + content[i:]


def line(content, share, value):
    """A line is lost, stands twice, stands elsewhere, or is something else."""
    lines = content.split(b"\n")
    i = at(lines, share)
    what = (
        lines[:i] + lines[i + 1 :],
        lines[:i] + [lines[i]] * 2 + lines[i + 1 :],
        lines[:i] + lines[i + 1 :] + [lines[i]],
        [*lines[:i], (WORDS + VALUES)[value % len(WORDS + VALUES)], *lines[i + 1 :]],
    )
    return b"\n".join(what[value % 4])


def number(content, share, value):
    """A number is replaced, of the first 4000 or of all."""
    found = list(NUMBER.finditer(content[:4000] if value % 2 else content))
    if not found:
        return content
    match = found[at(found, share)]
    return content[: match.start()] + VALUES[value // 2 % len(VALUES)] + content[match.end() :]


def word(content, share, value):
    """A word takes the place of another one."""
    words = content.split(b" ")
    i = at(words, share)
    words[i] = words[value % len(words)]
    return b" ".join(words)


def encoding(content, share, value):
    return (
        b"\xef\xbb\xbf" + content, content.replace(b"\n", b"\r\n"), content.replace(b"\n", b"\r"),
        content.decode("latin-1").encode("utf-16"), content + b"\0" * 100, b"\0" + content,
        content.replace(b" ", b"\xc2\xa0"), content.replace(b" ", b"\t"), content + content, content[::-1],
    )[value % 10]  # fmt: skip


def mutations(*kinds, most=3):
    """Lists of (kind, place, value)."""
    return st.lists(st.tuples(st.sampled_from(kinds), place, st.integers(0, 9999)), min_size=1, max_size=most)


BINARY = mutations(flip, fill, cut, drop, insert, flip, fill, most=4)
TEXT = mutations(number, number, number, line, word, flip, cut, drop, insert, encoding)


def mutated(content, changes):
    for kind, share, value in changes:
        content = kind(content, share, value)
    return content
