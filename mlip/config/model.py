"""Descriptor and networks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlip.config.section import Section, Symbol

Activation = Literal["silu", "tanh", "sigmoid", "softplus", "celu", "gelu", "relu", "gaussian", "cosine"]
CutoffName = Literal["cosine", "tanh", "polynomial"]


class SetOfFunctions(Section):
    """What the sets of symmetry functions share."""

    cutoff: float = Field(gt=0, description="Å")
    cutoff_function: CutoffName = Field("cosine", description="how a function goes to zero at the cutoff")


class RadialSet(SetOfFunctions):
    """Evenly spaced radial functions (G2) for every neighbor element."""

    set: Literal["radial"]
    count: int = Field(24, ge=1, description="number of radial shells")
    start: float = Field(0.8, ge=0, description="first shell, Å")
    eta: float | None = Field(None, ge=0, description="1/Å²; null: one over the spacing squared")


class AngularSet(SetOfFunctions):
    """Evenly spaced angles and mean distances (ANI's form) for every pair of neighbor elements."""

    set: Literal["angular"]
    shells: int = Field(4, ge=1, description="number of mean distances")
    angles: int = Field(8, ge=1, description="number of angles")
    start: float = Field(0.8, ge=0, description="first mean distance, Å")
    eta: float | None = Field(None, ge=0, description="1/Å²; null: 1.5 over the spacing squared")
    zeta: float | None = Field(
        None, ge=1, description="sharpness of the angles; null: a quarter of the number of angles squared, rounded"
    )


class BehlerSet(SetOfFunctions):
    """Behler's angular functions, narrow (G4) or wide (G5), all combinations, for every pair of neighbor elements."""

    set: Literal["narrow", "wide"]
    etas: tuple[float, ...] = Field((0.01, 0.1), strict=False, description="1/Å²")
    zetas: tuple[float, ...] = Field((1.0, 2.0, 4.0, 16.0), strict=False, description="sharpness of the angles")
    lambdas: tuple[float, ...] = Field((-1.0, 1.0), strict=False, description="+1: largest at 0°, -1: at 180°")


class AniSet(Section):
    """The 16 radial and 32 angular functions of ANI-1x."""

    set: Literal["ani1x"]


class Function(Section):
    """One symmetry function written out; the numbers depend on its kind."""

    kind: Literal["radial", "narrow", "wide", "shifted"]
    neighbors: tuple[Symbol, ...] = Field(strict=False, description="one element for radial functions, else two")
    center: Symbol | None = Field(None, description="element of the center; null: any")
    cutoff: float = Field(gt=0, description="Å")
    cutoff_function: CutoffName = Field("cosine", description="how the function goes to zero at the cutoff")
    eta: float | None = Field(None, ge=0, description="1/Å²; all kinds")
    r_s: float | None = Field(None, description="Å; radial, shifted")
    zeta: float | None = Field(None, ge=1, description="narrow, wide, shifted")
    lambda_: float | None = Field(None, description="+1 or -1; narrow, wide")
    theta_s: float | None = Field(None, description="radian; shifted")

    @model_validator(mode="after")
    def _numbers_fit_the_kind(self) -> Function:
        wanted = {
            "radial": {"eta", "r_s"},
            "narrow": {"eta", "zeta", "lambda_"},
            "wide": {"eta", "zeta", "lambda_"},
            "shifted": {"eta", "r_s", "zeta", "theta_s"},
        }[self.kind]
        for name in ("eta", "r_s", "zeta", "lambda_", "theta_s"):
            if (getattr(self, name) is not None) != (name in wanted):
                raise ValueError(f"a {self.kind} function takes {', '.join(sorted(wanted))}; check {name}")
        return self


class ExplicitSet(Section):
    """Symmetry functions listed one by one."""

    set: Literal["explicit"]
    functions: tuple[Function, ...] = Field(strict=False, min_length=1, description="the functions")


FunctionSet = Annotated[RadialSet | AngularSet | BehlerSet | AniSet | ExplicitSet, Field(discriminator="set")]


class NetworkOverride(Section):
    """What differs for one element."""

    hidden: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(None, strict=False, description="layer widths")
    activation: Activation | None = Field(None, description="activation function")


class Networks(Section):
    """The multilayer perceptron of each element; the output is linear."""

    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (64, 64), strict=False, description="widths of hidden layers"
    )
    activation: Activation = Field("silu", description="activation function")
    elements: dict[Symbol, NetworkOverride] = Field(
        {}, description="widths or activation of single elements, by symbol"
    )


class ReferenceEnergies(Section):
    """The energy of each element that the networks do not have to learn."""

    method: Literal["least_squares", "mean", "isolated", "given"] = Field(
        "least_squares",
        description="least_squares and mean: from the training energies; isolated: single atoms in isolated_file or "
        "data.train; given: values. isolated and given: a lone atom gets exactly that energy",
    )
    values: dict[Symbol, float] | None = Field(None, description="eV, by symbol, for method given")
    isolated_file: str | None = Field(None, description="file with one-atom structures for method isolated")


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


class Model(Section):
    """Descriptor and networks."""

    descriptor: tuple[FunctionSet, ...] = Field(
        (
            RadialSet(set="radial", cutoff=6.0),
            AngularSet(set="angular", cutoff=5.0),
        ),
        strict=False,
        min_length=1,
        description="sets of symmetry functions, one after the other",
    )
    networks: Networks = Networks()
    scaling: Literal["common", "half", "standard", "minmax", "none"] = Field(
        "common",
        description="feature scaling: one scale for all, half-way to unit spread, unit spread, to [0, 1], or none",
    )
    reference_energies: ReferenceEnergies = ReferenceEnergies()
    repulsion: Zbl | None = Field(
        None, description="added to the networks for atoms closer than any bond; null: only what they learn from data"
    )
