"""Gaussian processes on symmetry functions."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field, model_validator

from mlip.config.section import Section, or_one_of

CovarianceName = Literal["squared_exponential", "rational_quadratic", "polynomial"]

# What FCHL19 showed to serve kernels: radial functions on a logarithmic scale that fall with a power of the distance,
# and angles weighted by three-body dispersion. Numbers chosen on validation structures (docs/gpr.md).
DESCRIPTOR: tuple[dict[str, Any], ...] = (
    {"set": "log_normal", "cutoff": 6.0, "count": 12, "power": 3.0},
    {"set": "axilrod_teller", "cutoff": 6.0, "shells": 8, "degree": 5},
)


class Kernel(Section):
    """How alike two environments are; the word alone stands for the section with defaults."""

    model_config = ConfigDict(json_schema_extra=or_one_of(get_args(CovarianceName)))

    name: CovarianceName = Field("squared_exponential", description="the function; docs/gpr.md has formulas")
    alpha: float = Field(2.0, gt=0, description="of rational_quadratic; the larger, the nearer to squared_exponential")
    zeta: int = Field(4, ge=1, description="of polynomial: power of the normalized dot product")

    @model_validator(mode="before")
    @classmethod
    def _a_word_is_the_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class LabelNoise(Section):
    """Standard deviations that labels are expected to have from the model; of likelihood their proportions."""

    energy: float = Field(1e-5, gt=0, description="eV per atom; grows with the square root of their number")
    forces: float = Field(1e-4, gt=0, description="eV/Å")
    stress: float = Field(1e-5, gt=0, description="eV/Å³")


class Gpr(Section):
    """A Gaussian process, solved for at once without epochs."""

    form: Literal["auto", "full", "sparse"] = Field(
        "auto",
        description="full: energies and forces of all training structures are the basis; sparse: few inducing "
        "environments; auto: full if it fits within memory_limit",
    )
    kernel: Kernel = Kernel()
    inducing: int = Field(3000, ge=1, description="inducing environments of a sparse process, all elements together")
    selection: Literal["farthest", "cur"] = Field("farthest", description="how inducing environments are chosen")
    hyperparameters: Literal["likelihood", "cross_validation", "given"] = Field(
        "likelihood",
        description="lengths by element and noise with the largest marginal likelihood; one length and noise by "
        "two-fold cross-validation; or length and noise as they are given",
    )
    hyperparameter_structures: int | None = Field(
        None,
        ge=2,
        description="training structures from which these are found; null: as many as have 550 labels, at most 100",
    )
    length: float = Field(
        4.0, gt=0, description="length scale in units of the root mean square distance of training atoms; or its start"
    )
    noise: LabelNoise = LabelNoise()
    signal: float = Field(1.0, gt=0, description="eV, amplitude that given noise is relative to")
    coordinates: int | None = Field(
        None, ge=1, description="principal components of the features that are kept, by element; null: all"
    )
    variance_points: int = Field(
        500, ge=0, description="inducing environments that the variance of predictions is made of; 0: no variance"
    )
    memory_limit: float = Field(10.0, gt=0, description="GB; what would take more is refused before it begins")
