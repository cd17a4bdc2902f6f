"""Descriptor and networks."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field, field_validator, model_validator

from mlip.config.descriptor import AutoSet, FunctionSet
from mlip.config.gpr import DESCRIPTOR, Gpr
from mlip.config.networks import Networks
from mlip.config.pair import PairModel, Zbl
from mlip.config.section import Section, Symbol, or_one_of

MOST = 1000  # members, beyond any use


def _one_set_too(schema: dict[str, Any]) -> None:
    """The JSON schema of what `Model` takes for a descriptor: a list, one set, or the name of one without numbers."""
    several = {name: schema.pop(name) for name in ("items", "minItems", "type")}
    schema["anyOf"] = [several, several["items"], {"enum": ["auto", "ani1x", "ani2x"]}]


class ReferenceEnergies(Section):
    """The energy of each element that the networks do not have to learn."""

    method: Literal["least_squares", "mean", "isolated", "given"] = Field(
        "least_squares",
        description="least_squares and mean: from the training energies; isolated: single atoms in isolated_file or "
        "data.train; given: values. isolated and given: a lone atom gets exactly that energy",
    )
    values: dict[Symbol, float] | None = Field(None, description="eV, by symbol, for method given")
    isolated_file: str | None = Field(None, description="file with one-atom structures for method isolated")


class Committee(Section):
    """Several potentials on one descriptor, trained together; their mean predicts, their spread tells how surely."""

    members: int = Field(1, ge=1, le=MOST, description="number of potentials; 1: no committee, 4 are usual")
    subsets: Literal["all", "bootstrap", "kfold"] = Field(
        "all",
        description="training structures of each member: all; bootstrap: as many, drawn with replacement; kfold: all "
        "but its own part of as many parts as there are members",
    )

    @model_validator(mode="after")
    def _parts_need_members(self) -> Committee:
        if self.subsets != "all" and self.members == 1:
            raise ValueError(f"subsets {self.subsets} is for a committee; set members to at least 2, or subsets to all")
        return self


Kind = Literal["network", "gpr", "pair"]


class Model(Section):
    """What makes energies from structures: descriptor and networks, or one of the other families."""

    model_config = ConfigDict(json_schema_extra=or_one_of(get_args(Kind)))

    kind: Kind = Field(
        "network",
        description="network: one for each element; gpr: Gaussian process on the same features; pair: classical pair "
        "potentials. The word alone, model: gpr, is the same with defaults",
    )
    descriptor: tuple[FunctionSet, ...] = Field(
        (AutoSet(set="auto"),),
        strict=False,
        min_length=1,
        description="sets of symmetry functions, one after the other; or the word auto: chosen from the data. Kind gpr "
        "has others unless they are given (docs/gpr.md)",
        json_schema_extra=_one_set_too,
    )
    networks: Networks = Networks()
    committee: Committee = Committee()
    scaling: Literal["common", "half", "standard", "minmax", "none"] = Field(
        "half",
        description="feature scaling: one scale for all, half-way to unit spread, unit spread, to [0, 1], or none",
    )
    reference_energies: ReferenceEnergies = ReferenceEnergies()
    repulsion: Zbl | None = Field(
        None, description="added to the networks for atoms closer than any bond; null: only what they learn from data"
    )
    gpr: Gpr = Gpr()
    pair: PairModel = PairModel()
    baseline: PairModel | None = Field(
        None,
        description="as pair, or its form alone: fitted first, the model then learns the rest; null: none",
    )

    @model_validator(mode="before")
    @classmethod
    def _a_word_is_the_kind(cls, value: Any) -> Any:
        values = {"kind": value} if isinstance(value, str) else value
        if isinstance(values, dict) and values.get("kind") == "gpr" and "descriptor" not in values:
            return {**values, "descriptor": [dict(chosen) for chosen in DESCRIPTOR]}
        return values

    @model_validator(mode="after")
    def _a_pair_potential_is_alone(self) -> Model:
        if self.kind == "pair" and self.baseline is not None:
            raise ValueError("baseline is for the other kinds; the potential of kind pair is what pair says")
        if self.kind != "network" and self.committee.members > 1:
            raise ValueError(
                f"a fit of kind {self.kind} has one answer, so there is no committee of it; set committee.members to 1"
            )
        return self

    @field_validator("descriptor", mode="before")
    @classmethod
    def _one_set_is_a_list(cls, value: Any) -> Any:
        """`auto` stands for [{set: auto}], a set for the list of it."""
        sets = [value] if isinstance(value, str | dict) else value
        return [{"set": s} if isinstance(s, str) else s for s in sets] if isinstance(sets, list | tuple) else sets
