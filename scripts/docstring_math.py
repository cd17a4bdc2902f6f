"""Formulas of docstrings, which are written as Sphinx wants them, as MkDocs wants them; mkdocs.yml names this file."""

import re
from typing import Any

from griffe import Extension, Object

DISPLAY = re.compile(r"^\.\. math:: *\n?(.*?)(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r":math:`([^`]*)`")


class DocstringMath(Extension):
    """Turns `:math:` into dollars."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = with_dollars(obj.docstring.value)


def with_dollars(text: str) -> str:
    """The same text, formulas between dollars and paragraphs of formulas between double dollars."""
    text = DISPLAY.sub(lambda match: f"$$\n{match[1].strip()}\n$$", text)
    return INLINE.sub(r"$\1$", text)
