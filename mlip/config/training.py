"""How the weights are found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlip.config.section import Section


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


class Soap(Section):
    """Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024)."""

    name: Literal["soap"]
    learning_rate: float = Field(3e-3, gt=0, description="highest rate of the schedule")
    betas: tuple[float, float] = Field((0.95, 0.95), strict=False, description="decay of the running moments")
    weight_decay: float = Field(0.0, ge=0, description="decoupled decay")
    basis_every: int = Field(10, ge=1, description="steps between renewals of the eigenbasis")


class Muon(Section):
    """Momentum with orthogonal steps for hidden layers, Adam for biases and the last layer (Jordan et al. 2024)."""

    name: Literal["muon"]
    learning_rate: float = Field(5e-3, gt=0, description="highest rate of the schedule")
    momentum: float = Field(0.95, ge=0, lt=1, description="decay of the momentum of hidden layers")
    betas: tuple[float, float] = Field((0.9, 0.95), strict=False, description="decay of Adam's running moments")
    weight_decay: float = Field(0.0, ge=0, description="decoupled decay")


class Lbfgs(Section):
    """Quasi-Newton steps with a line search (Liu, Nocedal 1989); batch_size all, a constant schedule, no clipping."""

    name: Literal["lbfgs"]
    learning_rate: float = Field(1.0, gt=0, description="first length that a line search tries; 1: the full step")
    max_iter: int = Field(10, ge=1, description="iterations per step, so with batch_size all per epoch")
    history_size: int = Field(20, ge=1, description="iterations that make up the curvature")


Optimizer = Annotated[Sgd | Adam | Soap | Muon | Lbfgs, Field(discriminator="name")]


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


Weight = Annotated[float, Field(ge=0)] | Literal["auto"]


class LossTerm(Section):
    """Weight and form of one term of the loss."""

    weight: Weight = Field(1.0, description="of the term, or from the distances of the training atoms:")
    form: Literal["mse", "mae", "huber"] = Field("mse", description="of the error of each component")
    delta: float = Field(0.1, gt=0, description="where huber changes from square to linear, in the term's unit")


class EnergyTerm(LossTerm):
    """Weight and form of the energy term."""

    weight: Weight = Field("auto", description="of the term, or from the distances of the training atoms:")


class StressTerm(LossTerm):
    """Weight and form of the stress term."""

    weight: Weight = Field("auto", description="of the term, or from distances and volume of the training atoms:")


class Loss(Section):
    """A weighted sum over energy per atom (eV), force components (eV/Å) and stress components (eV/Å³)."""

    energy: EnergyTerm = EnergyTerm()
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


class FineTuning(Section):
    """What is kept of the potential in start_from besides its functions and weights."""

    scaling: Literal["keep", "refit"] = Field(
        "keep",
        description="feature scaling: that of the potential, or fitted to the new data with a first layer transformed "
        "so that predictions at the start stay the same",
    )
    reference_energies: Literal["refit", "keep"] = Field(
        "refit",
        description="by model.reference_energies to what the potential leaves of the new energies, or as they are; "
        "those of new elements are always fitted or given",
    )
    rate: float = Field(
        0.3, gt=0, description="by which every learning rate is multiplied; steps from good weights are small"
    )


class Training(Section):
    """How the weights are found."""

    epochs: int = Field(100, ge=1, description="passes over the training structures")
    batch_size: Annotated[int, Field(ge=1)] | Literal["all"] = Field(8, description="structures per step, or")
    optimizer: Optimizer = Soap(name="soap")
    schedule: Schedule = CosineSchedule(name="cosine")
    loss: Loss = Loss()
    gradient_clip: float | None = Field(None, gt=0, description="largest norm of the gradient; null: no limit")
    ema: float | None = Field(None, gt=0, lt=1, description="decay per step of averaged weights; null: no average")
    average_last: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the epochs, the last ones, whose weights are averaged (SWA, Izmailov 2018); kept if the "
        "validation loss falls; null: no average",
    )
    solve_last_layer: bool = Field(
        False,
        description="after the last epoch, find the last layers' weights by ridge regression on the training set, the "
        "ridge chosen on validation structures; kept if the validation loss falls",
    )
    early_stopping: EarlyStopping = EarlyStopping()
    second_stage: SecondStage = SecondStage()
    start_from: str | None = Field(
        None,
        description="run folder or potential file to start from (fine-tuning); model.descriptor, networks and scaling "
        "are those of it where the config does not give them; null: random weights",
    )
    fine_tuning: FineTuning = FineTuning()
    checkpoint_seconds: float = Field(
        60.0, ge=0, description="from one checkpoint to the next, within epochs as well; 0: after every step"
    )
    cache: Literal["auto", "memory", "disk", "off"] = Field(
        "auto",
        description="where features and Jacobians are kept: memory, a file in run.dir while the run lasts (disk), or "
        "nowhere, each step computing them (off); auto: memory if they fit the limit, else off. On a GPU memory is its "
        "own if they fit there, else the host's, from which batches are copied ahead",
    )
    cache_limit: float = Field(
        4.0,
        gt=0,
        description="GB of the host's memory that the kept features may take with cache auto; once for all ranks of a "
        "machine, which share them on a CPU, for each with a GPU",
    )
    ranks_share: Literal["structures", "members"] = Field(
        "structures",
        description="what several ranks share out: the structures of each batch, or the members of a committee, each "
        "rank training some on whole batches (no more ranks than members; no gradients are exchanged)",
    )
    memory_limit: float = Field(
        8.0,
        gt=0,
        description="GB that structures of a store (mlip prepare) may take with their pairs and stored features; if "
        "all do not fit, they are read while training, shuffled in pools of about two fifths of it",
    )

    @model_validator(mode="after")
    def _agree(self) -> Training:
        if isinstance(self.optimizer, Lbfgs):
            if self.ranks_share == "members":
                raise ValueError(
                    "training.optimizer is lbfgs, whose line search is one for all members of a committee; "
                    "set training.ranks_share=structures"
                )
            if self.schedule.name != "constant" or self.gradient_clip is not None:
                raise ValueError(
                    "training.optimizer is lbfgs, whose line search finds the length of a step; "
                    "set training.schedule.name=constant and training.gradient_clip=null"
                )
            if self.batch_size != "all":
                raise ValueError(
                    f"training.optimizer is lbfgs, which compares gradients of one and the same loss; "
                    f"training.batch_size is {self.batch_size}, set it to all"
                )
        return self
