"""Messages as a terminal can show them, whatever the broken file that they quote holds."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 4000  # characters of a message: a screenful
WORD = 160  # characters of one word; a path is shorter
_LONG_WORD = re.compile(rf"\S{{{WORD},}}")


def shown(message: str) -> str:
    """The message without control characters, with long words and a long end cut short."""
    text = "".join(_escaped(character) for character in message[: 10 * LONGEST])
    text = _LONG_WORD.sub(lambda match: f"{match.group()[: WORD // 2]}[...]{match.group()[-WORD // 4 :]}", text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 6]} [...]"


def _escaped(character: str) -> str:
    """A control character, half a surrogate or a mark of direction as its number; all others as they are."""
    if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co"):
        return character
    return character.encode("unicode_escape").decode("ascii")
