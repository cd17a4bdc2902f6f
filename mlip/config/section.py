"""What every part of a config has in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Symbol = Annotated[str, Field(pattern="^[A-Z][a-z]?$")]


class Section(BaseModel):
    """A part of the config: strict, frozen, complete."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def or_one_of(words: Sequence[str]) -> Callable[[dict[str, Any]], None]:
    """For the JSON schema of a section that one of these words alone may stand for."""

    def change(schema: dict[str, Any]) -> None:
        section = dict(schema)
        schema.clear()
        schema["anyOf"] = [section, {"enum": list(words)}]

    return change
