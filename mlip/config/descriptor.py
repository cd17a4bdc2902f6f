"""Sets of symmetry functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer, model_validator

from mlip.config.section import Section, Symbol

Shape = Literal["p1", "p1a", "p2", "p2a", "p3", "p3a", "p4", "p4a", "e", "ea"]
CutoffName = Literal[
    "hard", "cosine", "tanh", "tanh_normalized", "exponential", "polynomial_1", "polynomial", "polynomial_3",
    "polynomial_4",
]  # fmt: skip
MOST, MOST_ANGULAR = 1000, 100  # beyond any use; a slip of a digit must not fill the memory
INNER_CUTOFF = "Å, up to which the cutoff function is 1; not for hard, tanh and tanh_normalized"


class SetOfFunctions(Section):
    """What the sets of symmetry functions share."""

    cutoff: float = Field(gt=0, description="Å")
    cutoff_function: CutoffName = Field("cosine", description="how a function goes to zero at the cutoff")
    inner_cutoff: float = Field(0.0, ge=0, description=INNER_CUTOFF)
    weighted: bool = Field(
        False,
        description="one set for all neighbors, weighted by atomic number (wACSF), instead of one for each combination "
        "of elements",
    )


class RadialSet(SetOfFunctions):
    """Radial functions (G2) for every neighbor element."""

    set: Literal["radial"]
    count: int = Field(24, ge=1, le=MOST, description="number of radial shells")
    start: float = Field(0.8, ge=0, description="first shell, Å")
    eta: float | None = Field(None, ge=0, description="1/Å²; null: one over the spacing squared")
    spacing: Literal["even", "log", "inverse"] = Field(
        "even", description="shells are evenly spaced in r, ln r or 1/r; null eta: narrower where they are denser"
    )


class LogNormalSet(SetOfFunctions):
    """Gaussians in ln r, evenly spaced there, for every neighbor element."""

    set: Literal["log_normal"]
    count: int = Field(16, ge=1, le=MOST, description="number of radial shells")
    start: float = Field(0.8, gt=0, description="first shell, Å")
    width: float | None = Field(None, gt=0, description="sigma, of ln r; null: the spacing over the square root of 2")
    power: float = Field(0.0, ge=0, description="weight r^-power of each neighbor; FCHL19: 1.8")


class BesselSet(SetOfFunctions):
    """Spherical waves sin(n pi r / cutoff) / r for every neighbor element."""

    set: Literal["bessel"]
    count: int = Field(12, ge=1, le=MOST, description="number of waves")


class AngularSet(SetOfFunctions):
    """Evenly spaced angles and mean distances (ANI's form) for every pair of neighbor elements."""

    set: Literal["angular"]
    shells: int = Field(4, ge=1, le=MOST_ANGULAR, description="number of mean distances")
    angles: int = Field(8, ge=1, le=MOST_ANGULAR, description="number of angles")
    start: float = Field(0.8, ge=0, description="first mean distance, Å")
    eta: float | None = Field(None, ge=0, description="1/Å²; null: 1.5 over the spacing squared")
    zeta: float | None = Field(
        None, ge=1, description="sharpness of the angles; null: a quarter of the number of angles squared, rounded"
    )
    power: float | None = Field(
        None,
        ge=0,
        description="weight of Axilrod, Teller and Muto with this inverse power; null: no weight",
    )


class ChebyshevSet(SetOfFunctions):
    """Chebyshev polynomials of the angle's cosine times evenly spaced mean distances, for every pair of elements."""

    set: Literal["chebyshev"]
    shells: int = Field(4, ge=1, le=MOST_ANGULAR, description="number of mean distances")
    degree: int = Field(
        7, ge=0, le=MOST_ANGULAR, description="largest degree of the polynomials; there is one more of them"
    )
    start: float = Field(0.8, ge=0, description="first mean distance, Å")
    eta: float | None = Field(None, ge=0, description="1/Å²; null: 1.5 over the spacing squared")


class AxilrodTellerSet(ChebyshevSet):
    """Chebyshev polynomials with the weight of Axilrod, Teller and Muto (as FCHL19), for every pair of elements."""

    set: Literal["axilrod_teller"]  # type: ignore[assignment]
    power: float = Field(0.57, ge=0, description="of the inverse distances of a triple; 3: the triple dipole energy")


class BehlerSet(SetOfFunctions):
    """Behler's angular functions, narrow (G4) or wide (G5), all combinations, for every pair of neighbor elements."""

    set: Literal["narrow", "wide"]
    etas: tuple[float, ...] = Field((0.01, 0.1), strict=False, max_length=20, description="1/Å²")
    zetas: tuple[float, ...] = Field(
        (1.0, 2.0, 4.0, 16.0), strict=False, max_length=20, description="sharpness of the angles"
    )
    lambdas: tuple[float, ...] = Field(
        (-1.0, 1.0), strict=False, max_length=20, description="+1: largest at 0°, -1: at 180°"
    )


class AniSet(Section):
    """The 16 radial and 32 angular functions of ANI-1x or ANI-2x."""

    set: Literal["ani1x", "ani2x"]


NUMBERS_OF = {
    "radial": ("eta", "r_s"),
    "log_normal": ("r_s", "width", "power"),
    "bessel": ("n",),
    "narrow": ("eta", "zeta", "lambda_"),
    "wide": ("eta", "zeta", "lambda_"),
    "shifted": ("eta", "r_s", "zeta", "theta_s"),
    "shifted_axilrod_teller": ("eta", "r_s", "zeta", "theta_s", "power"),
    "chebyshev": ("eta", "r_s", "n"),
    "axilrod_teller": ("eta", "r_s", "n", "power"),
    "compact_radial": ("inner", "shape"),
    "compact_narrow": ("inner", "theta_low", "theta_high", "shape"),
    "compact_wide": ("inner", "theta_low", "theta_high", "shape"),
}
MAY_BE_LEFT_OUT = {"narrow": ("r_s",), "wide": ("r_s",)}  # then it is 0


class Function(Section):
    """One symmetry function written out; the numbers depend on its kind."""

    kind: Literal[
        "radial", "log_normal", "bessel", "narrow", "wide", "shifted", "shifted_axilrod_teller", "chebyshev",
        "axilrod_teller", "compact_radial", "compact_narrow", "compact_wide",
    ]  # fmt: skip
    neighbors: tuple[Symbol, ...] = Field(
        (), strict=False, description="one element for radial functions, else two; none where there are weights"
    )
    weights: dict[Symbol, float] = Field(
        {}, description="weight of the neighbors of each element, to count all of them; instead of neighbors"
    )
    center: Symbol | None = Field(None, description="element of the center; null: any")
    cutoff: float = Field(gt=0, description="Å")
    cutoff_function: CutoffName = Field(
        "cosine", description="how the function goes to zero at the cutoff; compact kinds: hard, they need none"
    )
    inner_cutoff: float = Field(0.0, ge=0, description=INNER_CUTOFF)
    eta: float | None = Field(None, ge=0, description="1/Å²; radial and all angular kinds")
    r_s: float | None = Field(None, description="Å; all but bessel; narrow, wide: 0 if left out")
    zeta: float | None = Field(None, ge=1, description="narrow, wide, shifted")
    lambda_: float | None = Field(None, description="+1 or -1; narrow, wide")
    theta_s: float | None = Field(None, description="radian; shifted")
    n: int | None = Field(None, ge=0, description="degree of the polynomial; number of the wave from 1: bessel")
    width: float | None = Field(None, gt=0, description="of ln r; log_normal")
    power: float | None = Field(None, ge=0, description="of the inverse distances; log_normal and all axilrod_teller")
    inner: float | None = Field(None, description="Å, left edge, below the cutoff, may be negative; all compact kinds")
    theta_low: float | None = Field(None, description="degrees; compact_narrow, compact_wide")
    theta_high: float | None = Field(None, description="degrees; compact_narrow, compact_wide")
    shape: Shape | None = Field(None, description="polynomial or exponential, by n2p2's name; all compact kinds")
    shape_jk: Shape | None = Field(None, description="of the distance between neighbors, if another; compact_narrow")

    @model_validator(mode="before")
    @classmethod
    def _compact_functions_end_by_themselves(cls, values: Any) -> Any:
        compact = isinstance(values, dict) and str(values.get("kind")).startswith("compact_")
        return {"cutoff_function": "hard", **values} if compact else values

    @model_validator(mode="after")
    def _numbers_fit_the_kind(self) -> Function:
        wanted, other = NUMBERS_OF[self.kind], MAY_BE_LEFT_OUT.get(self.kind, ())
        for name in sorted({name for names in NUMBERS_OF.values() for name in names}):
            if name not in other and (getattr(self, name) is not None) != (name in wanted):
                raise ValueError(f"a {self.kind} function takes {', '.join(sorted(wanted))}; check {name}")
        if self.shape_jk is not None and self.kind != "compact_narrow":
            raise ValueError(f"a {self.kind} function has no shape_jk; only compact_narrow has it")
        if bool(self.neighbors) == bool(self.weights):
            raise ValueError("a function takes either neighbors or weights")
        return self

    @model_serializer(mode="wrap")
    def _without_what_others_have(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        values = {name: value for name, value in handler(self).items() if value not in (None, (), [], {})}
        if not self.inner_cutoff:
            values.pop("inner_cutoff", None)
        return values


class ExplicitSet(Section):
    """Symmetry functions listed one by one."""

    set: Literal["explicit"]
    functions: tuple[Function, ...] = Field(strict=False, min_length=1, description="the functions")


class AutoSet(Section):
    """Functions chosen from the training structures; the run folder's config.yaml and descriptor.yaml list them."""

    set: Literal["auto"]
    budget: int = Field(250, ge=1, le=10 * MOST, description="number of functions at most, all elements together")
    cutoff: float | None = Field(
        None, gt=0, description="Å, of the radial functions and at most of the angular ones; null: from the distances"
    )
    cutoff_function: CutoffName = Field("cosine", description="how a function goes to zero at the cutoff")
    inner_cutoff: float = Field(0.0, ge=0, description=INNER_CUTOFF)
    pruning: Literal["farthest", "cur"] = Field(
        "farthest", description="how few of many functions are chosen: by their distance from those before, or by CUR"
    )


FunctionSet = Annotated[
    RadialSet
    | LogNormalSet
    | BesselSet
    | AngularSet
    | ChebyshevSet
    | AxilrodTellerSet
    | BehlerSet
    | AniSet
    | ExplicitSet
    | AutoSet,
    Field(discriminator="set"),
]
