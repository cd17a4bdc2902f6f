"""The reference of the config: every key with its meaning and default, from the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, TypeAdapter, create_model
from pydantic.fields import FieldInfo

from mlip.config import Config


def reference_yaml() -> str:
    """A config with every key, its meaning, unit and default."""
    head = [
        "# Every key of a config with its meaning and default; made by `mlip schema --yaml`.",
        "# A config gives only what differs: configs/minimal.yaml.",
    ]
    return "\n".join([*head, *_section_lines(Config, 0)]) + "\n"


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """Config sections that an annotation can hold, in tuples and unions too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, list):
        return annotation
    return [model for part in get_args(annotation) for model in models_of(part)]


def tags_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The kinds of a section that has a kind: values of its `set` or `name`."""
    for name in ("set", "name"):
        if name in model.model_fields:
            return get_args(model.model_fields[name].annotation)
    return ()


def _section_lines(section: type[BaseModel], depth: int) -> Iterator[str]:
    pad = "  " * depth
    for name, field in section.model_fields.items():
        models = models_of(field.annotation)
        if not models:
            yield f"{pad}{name}: {_plain(field)}  # {_meaning(field)}"
            continue
        if depth == 0:
            yield ""
        if len(models) == 1 and get_origin(field.annotation) is not dict and field.default is not None:
            yield f"{pad}{name}:  # {(models[0].__doc__ or '').strip()}"
            if isinstance(field.default, models[0]):
                models = [_with_defaults(models[0], field.default)]
            yield from _section_lines(models[0], depth + 1)
        else:
            yield f"{pad}{name}: {_plain(field)}  # {_meaning(field)}"
            yield from _choices(models, depth + 1)


def _choices(models: Sequence[type[BaseModel]], depth: int) -> Iterator[str]:
    """The alternatives of a union, as comments."""
    pad = "  " * depth
    for model in models:
        yield f"{pad}# - {(model.__doc__ or '').strip()}"
        for name, field in model.model_fields.items():
            value = " | ".join(tags_of(model)) if name in ("set", "name") and tags_of(model) else _plain(field)
            yield f"{pad}#   {name}: {value}" + (f"  # {field.description}" if field.description else "")


def _with_defaults(section: type[BaseModel], values: BaseModel) -> type[BaseModel]:
    """The same section with the defaults its owner gives it."""
    fields: dict[str, Any] = {
        name: (field.annotation, Field(getattr(values, name), description=field.description))
        for name, field in section.model_fields.items()
    }
    return create_model(section.__name__, __doc__=section.__doc__, **fields)


def _plain(field: FieldInfo) -> str:
    """The default as YAML on one line."""
    if field.is_required():
        return "REQUIRED"
    value = json.loads(TypeAdapter(Any).dump_json(field.default, serialize_as_any=True))
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).strip().removesuffix("\n...")


def _meaning(field: FieldInfo) -> str:
    choices = [v for part in (field.annotation, *get_args(field.annotation)) for v in _literals(part)]
    text = field.description or "one of the following"
    return f"{text} ({' | '.join(map(str, choices))})" if choices else text


def _literals(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()
