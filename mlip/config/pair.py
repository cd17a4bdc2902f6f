"""Functions of pairs: classical potentials, alone or as what a network or kernel adds to, and a fixed repulsion."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, model_validator

from mlip.config.section import Section, or_one_of

FormName = Literal["lennard_jones", "morse", "buckingham", "born_mayer", "zbl", "spline"]
PairName = Annotated[str, Field(pattern="^[A-Z][a-z]?-[A-Z][a-z]?$")]


class PairModel(Section):
    """A curve of the distance for each pair of elements, fitted to the training structures."""

    model_config = ConfigDict(json_schema_extra=or_one_of(get_args(FormName)))

    form: FormName = Field("morse", description="the curve; the word alone stands for the section with defaults")
    cutoff: float | None = Field(
        None, gt=0, description="Å, where all curves end; null: the descriptor's as a baseline, 6 for model.kind pair"
    )
    inner: float | None = Field(
        None, ge=0, description="Å, from where they are led smoothly to zero; null: three quarters of the cutoff"
    )
    knots: int = Field(20, ge=2, le=1000, description="intervals of a spline, from the nearest distance to the cutoff")
    smoothing: float = Field(
        1e-6, ge=0, description="weight of a spline's squared curvature, in units of the mean square force over 1 Å"
    )
    parameters: dict[PairName, dict[str, float]] = Field(
        {}, description="what is given instead of fitted, by pair such as Al-Cu; names and units: docs/pair.md"
    )

    @model_validator(mode="before")
    @classmethod
    def _a_word_is_the_form(cls, value: Any) -> Any:
        return {"form": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _ordered(self) -> PairModel:
        if self.cutoff is not None and self.inner is not None and not self.inner < self.cutoff:
            raise ValueError(f"inner is {self.inner} and cutoff {self.cutoff} Å; expected inner < cutoff")
        return self


class Zbl(Section):
    """Screened repulsion of the nuclei (Ziegler, Biersack, Littmark 1985), so that atoms never fuse."""

    name: Literal["zbl"]
    inner: float = Field(0.35, ge=0, description="full strength up to here, in units of the sum of covalent radii")
    outer: float = Field(0.7, gt=0, le=2, description="nothing from here on, in the same units; bonds are near 1")

    @model_validator(mode="after")
    def _ordered(self) -> Zbl:
        if not self.inner < self.outer:
            raise ValueError(f"inner is {self.inner} and outer {self.outer}; expected inner < outer")
        return self
