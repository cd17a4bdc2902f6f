"""The schema of a config: every key, its meaning, unit and default. Imports no torch and nothing else of mlip."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

EnergyUnit = Literal["eV", "meV", "kcal/mol", "kJ/mol", "Hartree", "Rydberg"]
LengthUnit = Literal["Ang", "Bohr", "nm"]
PressureUnit = Literal["eV/Ang^3", "GPa", "kbar", "Hartree/Bohr^3"]
Format = Literal["auto", "md17_npz", "rmd17_npz", "md17_xyz", "ani_hdf5", "ase"]
Load = Literal["tension", "compression"]
Activation = Literal["silu", "tanh", "sigmoid", "softplus", "celu", "gelu", "relu", "gaussian", "cosine"]
CutoffName = Literal["cosine", "tanh", "polynomial"]
Symbol = Annotated[str, Field(pattern="^[A-Z][a-z]?$")]


def _amount(value: int | float) -> int | float:
    """A count or a fraction."""
    if value < 0 or (isinstance(value, float) and not 0 < value <= 1):
        raise ValueError("expected a whole number of structures, or a fraction in (0, 1]")
    return value


Amount = Annotated[int | float, AfterValidator(_amount)]


class Section(BaseModel):
    """A part of the config: strict, frozen, complete."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Run(Section):
    """Where the results go and what makes the run repeatable."""

    dir: str = Field("runs/mlip", description="run folder; holds the potential, metrics, split, config and checkpoints")
    seed: int = Field(1, ge=0, description="seed of the split, the weights and the order of structures")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    dtype: Literal["float32", "float64"] = Field(
        "float32", description="precision of features and networks; total energies are always float64"
    )
    threads: int = Field(1, ge=1, description="CPU threads; more help large cells and batches only")
    overwrite: bool = Field(False, description="replace the results of an earlier run in run.dir")
    tensorboard: bool = Field(False, description="write TensorBoard events as well (pip install tensorboard)")


class Units(Section):
    """Units in the file; null: the usual ones of its format."""

    energy: EnergyUnit | None = Field(None, description="unit of energies; forces are in it per length unit")
    length: LengthUnit | None = Field(None, description="unit of positions and cells")
    stress: PressureUnit | None = Field(None, description="unit of the stress")


class Split(Section):
    """How data.train is divided when there is no separate file for a part; a number counts, a fraction shares."""

    train: Amount | None = Field(None, description="structures to train on; null: all that the others leave")
    valid: Amount | None = Field(
        None, description="structures to choose the best epoch by; null: a tenth, or none if data.valid is given"
    )
    test: Amount | None = Field(None, description="structures to test on; null: none")
    seed: int | None = Field(None, ge=0, description="seed of the shuffle; null: run.seed")
    file: str | None = Field(
        None, description="JSON file with lists of indices: train, valid, test; overrides the above"
    )


class Data(Section):
    """Files, what is read from them, and in which units."""

    train: str = Field(description="file to train on: MD17 .npz or .xyz, extxyz, ANI .h5, or anything ASE reads")
    valid: str | None = Field(None, description="separate validation file; null: split from data.train")
    test: str | None = Field(None, description="separate test file; null: split from data.train")
    format: Format = Field("auto", description="format of the files; auto decides by name and content")
    index: str = Field(":", description="which structures of data.train to read, as in ASE: ':', '::10', ':1000'")
    units: Units = Units()
    energy_key: str | None = Field(
        None, description="name of the energy in the file; null: the usual one of its format"
    )
    forces_key: str | None = Field(None, description="name of the forces in the file")
    stress_key: str | None = Field(None, description="name of the stress in the file")
    virial_key: str | None = Field(
        None, description="name of the virial, energy units, in the file; it gives the stress"
    )
    stress_positive: Load = Field(
        "tension", description="load under which the file's stress is positive (ASE: tension)"
    )
    virial_positive: Load = Field("compression", description="load under which the file's virial is positive")
    split: Split = Split()


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
    eta: float | None = Field(None, ge=0, description="1/Å²; null: three over the spacing squared")
    zeta: float | None = Field(
        None, ge=1, description="sharpness of the angles; null: half the number of angles squared"
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


class Model(Section):
    """Descriptor and networks."""

    descriptor: tuple[FunctionSet, ...] = Field(
        (
            RadialSet(set="radial", cutoff=6.0),
            AngularSet(set="angular", cutoff=4.5),
        ),
        strict=False,
        min_length=1,
        description="sets of symmetry functions, one after the other",
    )
    networks: Networks = Networks()
    scaling: Literal["half", "standard", "minmax", "none"] = Field(
        "half", description="feature scaling: half-way to one common scale, unit spread, to [0, 1], or as they are"
    )
    reference_energies: ReferenceEnergies = ReferenceEnergies()


class Sgd(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    learning_rate: float = Field(1e-2, gt=0, description="highest rate of the schedule")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum")
    nesterov: bool = Field(True, description="Nesterov's form of the momentum")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty")


class Adam(Section):
    """Adam, or AdamW with decoupled weight decay."""

    name: Literal["adam", "adamw"]
    learning_rate: float = Field(2e-3, gt=0, description="highest rate of the schedule")
    betas: tuple[float, float] = Field((0.9, 0.999), strict=False, description="decay of the running moments")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty (adam) or decoupled decay (adamw)")


Optimizer = Annotated[Sgd | Adam, Field(discriminator="name")]


class Constant(Section):
    """The same learning rate throughout."""

    name: Literal["constant"]


class CosineSchedule(Section):
    """Half a cosine wave from the highest rate to the lowest, after a linear warm-up."""

    name: Literal["cosine"]
    warmup: float = Field(2.0, ge=0, description="epochs of linear rise")
    final: float = Field(0.0, ge=0, le=1, description="last rate as a share of the highest")


class Exponential(Section):
    """The rate falls by the same factor every epoch."""

    name: Literal["exponential"]
    factor: float = Field(0.97, gt=0, le=1, description="per epoch")


class Plateau(Section):
    """The rate falls when the validation loss does not."""

    name: Literal["plateau"]
    factor: float = Field(0.5, gt=0, lt=1, description="by which the rate falls")
    patience: int = Field(10, ge=0, description="epochs without improvement before it falls")


Schedule = Annotated[Constant | CosineSchedule | Exponential | Plateau, Field(discriminator="name")]


class LossTerm(Section):
    """Weight and form of one term of the loss."""

    weight: float = Field(1.0, ge=0, description="of the term")
    form: Literal["mse", "mae", "huber"] = Field("mse", description="of the error of each component")
    delta: float = Field(0.1, gt=0, description="where huber changes from square to linear, in the term's unit")


class StressTerm(LossTerm):
    """Weight and form of the stress term; stress numbers are small, so its weight is large."""

    weight: float = Field(100.0, ge=0, description="of the term")


class Loss(Section):
    """A weighted sum over energy per atom (eV), force components (eV/Å) and stress components (eV/Å³)."""

    energy: LossTerm = LossTerm()
    forces: LossTerm = LossTerm()
    stress: StressTerm = StressTerm()


class EarlyStopping(Section):
    """End when the validation loss has not fallen for a while."""

    patience: int | None = Field(None, ge=1, description="epochs without improvement; null: never stop early")
    min_delta: float = Field(0.0, ge=0, description="smallest fall of the loss that counts")


class SecondStage(Section):
    """Other loss weights and rate for the last part of the training."""

    start: int | None = Field(None, ge=1, description="first epoch of the second stage; null: there is none")
    energy_weight: float | None = Field(100.0, ge=0, description="weight of the energy from then on; null: as before")
    forces_weight: float | None = Field(None, ge=0, description="weight of the forces from then on; null: as before")
    stress_weight: float | None = Field(None, ge=0, description="weight of the stress from then on; null: as before")
    learning_rate: float | None = Field(None, gt=0, description="highest rate from then on; null: as before")


class Training(Section):
    """How the weights are found."""

    epochs: int = Field(150, ge=1, description="passes over the training structures")
    batch_size: int = Field(8, ge=1, description="structures per step")
    optimizer: Optimizer = Adam(name="adam")
    schedule: Schedule = CosineSchedule(name="cosine")
    loss: Loss = Loss()
    gradient_clip: float | None = Field(None, gt=0, description="largest norm of the gradient; null: no limit")
    ema: float | None = Field(None, gt=0, lt=1, description="decay per step of averaged weights; null: no average")
    early_stopping: EarlyStopping = EarlyStopping()
    second_stage: SecondStage = SecondStage()
    cache: Literal["auto", "memory", "off"] = Field(
        "auto", description="keep features and Jacobians in memory: if they fit the limit, always, or never"
    )
    cache_limit: float = Field(4.0, gt=0, description="GB that the kept features may take with cache auto")


class Config(Section):
    """Everything a training needs to know."""

    run: Run = Run()
    data: Data
    model: Model = Model()
    training: Training = Training()

    @model_validator(mode="after")
    def _agree(self) -> Config:
        reference = self.model.reference_energies
        if (reference.method == "given") != (reference.values is not None):
            raise ValueError(
                "model.reference_energies: values and method 'given' belong together; give both or neither"
            )
        return self
