"""What every part of a config has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Symbol = Annotated[str, Field(pattern="^[A-Z][a-z]?$")]


class Section(BaseModel):
    """A part of the config: strict, frozen, complete."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
