"""Networks: widths and activation functions of the layers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from mlip.config.section import Section, Symbol

Activation = Literal[
    "silu", "tanh", "sigmoid", "softplus", "celu", "gelu", "relu", "gaussian", "cosine", "linear", "reverse_sigmoid",
    "exponential", "harmonic",
]  # fmt: skip


def _known(activation: Any) -> Any:
    """Names of activations, of which a list may be given."""
    several = isinstance(activation, list | tuple)
    for name in activation if several else [activation]:
        if name not in get_args(Activation):
            raise ValueError(
                f"expected one of {', '.join(get_args(Activation))}, or a list of them, one for each hidden layer and "
                "the output" + (f", not {name!r}" if several else "")
            )
    return tuple(activation) if several else activation


Activations = Annotated[Activation | tuple[Activation, ...], BeforeValidator(_known)]


Widths = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(max_length=20)]


class NetworkOverride(Section):
    """What differs for one element."""

    hidden: Widths | None = Field(None, strict=False, description="layer widths")
    activation: Activations | None = Field(None, description="activation function, or a list of them")


class Networks(Section):
    """The multilayer perceptron of each element."""

    hidden: Widths = Field((64, 64), strict=False, description="widths of hidden layers")
    activation: Activations = Field(
        "silu",
        description="activation function of all hidden layers, the output is linear; or a list, one for each hidden "
        "layer and the output",
    )
    elements: dict[Symbol, NetworkOverride] = Field(
        {}, description="widths or activation of single elements, by symbol"
    )

    def of(self, element: str) -> tuple[tuple[int, ...], str | tuple[str, ...]]:
        """Hidden widths and activation of an element."""
        own = self.elements.get(element, NetworkOverride())
        return (
            self.hidden if own.hidden is None else own.hidden,
            self.activation if own.activation is None else own.activation,
        )

    @model_validator(mode="after")
    def _a_name_for_each_layer(self) -> Networks:
        for element in ("", *self.elements):  # no element has no symbol
            hidden, activation = self.of(element)
            if not isinstance(activation, str) and len(activation) != len(hidden) + 1:
                raise ValueError(
                    f"{f'elements.{element}: ' if element else ''}activation {list(activation)} has {len(activation)} "
                    f"names for {len(hidden)} hidden layers and the output; expected {len(hidden) + 1}, the last one "
                    "that of the output, or one name for all hidden layers"
                )
        return self
