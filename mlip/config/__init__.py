"""The schema of a config: every key, its meaning, unit and default. Imports no torch and nothing else of mlip."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mlip.config.data import Data
from mlip.config.model import Model
from mlip.config.section import Section
from mlip.config.training import FineTuning, Training


class Run(Section):
    """Where the results go and what makes the run repeatable."""

    dir: str = Field("runs/mlip", description="run folder; holds the potential, metrics, split, config and checkpoints")
    seed: int = Field(1, ge=0, description="seed of the split, the weights and the order of structures")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    dtype: Literal["float32", "float64"] = Field(
        "float32", description="precision of features and networks; total energies are always float64"
    )
    tf32: bool = Field(
        False, description="round to 10 bits (TF32) in float32 products on a GPU; faster, errors stand in docs/gpu.md"
    )
    deterministic: bool = Field(
        False, description="the same bits in every run on a GPU as well, slower; what cannot give them is refused"
    )
    threads: int = Field(1, ge=1, description="CPU threads; more help large cells and batches only")
    overwrite: bool = Field(False, description="replace the results of an earlier run in run.dir")
    tensorboard: bool = Field(False, description="write TensorBoard events as well (pip install tensorboard)")


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
        if self.training.start_from is not None and self.model.kind != "network":
            raise ValueError(
                f"training.start_from goes on with networks, and model.kind is {self.model.kind}, which is solved for "
                "at once; leave training.start_from out"
            )
        if self.training.start_from is None and self.training.fine_tuning != FineTuning():
            raise ValueError("training.fine_tuning is about the potential in training.start_from; give that as well")
        return self
