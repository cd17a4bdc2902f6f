"""Config files: reading them with overrides, messages that name the key, and the reference with every key."""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo

from mlip.config import Config, Data

DATA_SUFFIXES = (".npz", ".xyz", ".extxyz", ".h5", ".hdf5", ".traj", ".db")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, apply overrides such as `training.epochs=50`, and check every key and value.

    Raises:
        ValueError: the file is missing or no YAML, a key is unknown, or a value is of the wrong kind; the message names
            the path of the key, what was found and what is expected.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: this is a folder; expected a config file")
    if not path.is_file():
        raise ValueError(f"{path}: no such config file. `mlip schema --yaml` prints one with every key")
    if path.suffix in DATA_SUFFIXES:
        raise ValueError(f"{path}: is no config but a data file; write a config with data.train: {path.name}")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
    if values is None:
        raise ValueError(f"{path}: is empty; expected the sections {', '.join(Config.model_fields)}")
    if not isinstance(values, dict):
        raise ValueError(
            f"{path}: holds {type(values).__name__}; expected the sections {', '.join(Config.model_fields)}"
        )
    for override in overrides:
        apply_override(values, override)
    return parse_config(values, str(path))


def parse_config(values: dict[str, Any], origin: str) -> Config:
    """Check nested plain values against the schema; `origin` starts every message.

    Raises:
        ValueError: one line for each key that is wrong.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problems = [p for p in error.errors() if not _follows(p, error.errors())]
        raise ValueError("\n".join(f"{origin}: {_explain(problem)}" for problem in problems)) from error


def data_section(path: str, overrides: Sequence[str]) -> Data:
    """How to read one file, from overrides such as `data.energy_key=REF_energy`.

    Raises:
        ValueError: an override is not about data, or a key or value is wrong.
    """
    values: dict[str, Any] = {"data": {"train": path}}
    for override in overrides:
        if not override.startswith("data."):
            raise ValueError(f"'{override}': only data.* can be given here, such as data.energy_key=REF_energy")
        if override.startswith(("data.train", "data.valid", "data.test", "data.split")):
            raise ValueError(
                f"'{override}': there is one file here and no split; {path} is read whole, or data.index of it"
            )
        apply_override(values, override)
    return parse_config(values, "command line").data


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set one key of nested values in place from text such as `model.descriptor.0.count=16`; the value is YAML.

    Raises:
        ValueError: the text has no '=', or its path leads through something that has no keys.
    """
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ValueError(f"'{override}' is no override; expected key.path=value, such as training.epochs=50")
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"'{override}': the value is not valid YAML: {error}") from error
    *parents, last = path.split(".")
    place: Any = values
    default: Any = _DEFAULTS
    for depth, key in enumerate(parents):
        where = ".".join(parents[: depth + 1])
        default = default.get(key) if isinstance(default, dict) else None
        if isinstance(place, list):
            place = place[_index(key, place, override)]
        elif isinstance(place, dict):
            if place.get(key) is None:
                place[key] = copy.deepcopy(default) if depth and default is not None else {}
            place = place[key]
        if not isinstance(place, dict | list):
            raise ValueError(f"'{override}': {where} is {place!r}, which has no keys; expected a section there")
    if isinstance(place, list):
        place[_index(last, place, override)] = value
    else:
        place[last] = value


def as_yaml(config: Config) -> str:
    """The resolved config with every value, as YAML that reads back to the same config."""
    return yaml.dump(json.loads(config.model_dump_json()), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def reference_yaml() -> str:
    """A config with every key, its meaning, unit and default."""
    head = [
        "# Every key of a config with its meaning and default; made by `mlip schema --yaml`.",
        "# A config gives only what differs: configs/minimal.yaml.",
    ]
    return "\n".join([*head, *_section_lines(Config, 0)]) + "\n"


def _defaults() -> dict[str, Any]:
    """What sections with a kind (optimizer, schedule, descriptor) are when a config says nothing about them."""
    sections = {name: field.default for name, field in Config.model_fields.items() if not field.is_required()}
    return {
        name: {
            key: json.loads(json.dumps(_plain_values(value)))
            for key, value in section
            if isinstance(value, tuple) or (isinstance(value, BaseModel) and _tags(type(value)))
        }
        for name, section in sections.items()
    }


def _plain_values(value: Any) -> Any:
    """The values that were given, without those that are defaults anyway."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    return [_plain_values(part) for part in value]


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice and takes words as words: 1e-3 is a number, off, no and 20:30 are text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.YAMLError(f"key '{key.value}' stands twice, again{key.start_mark}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes text that either reader, ours or YAML 1.1's, would take for something else."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
):
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def _index(key: str, place: list, override: str) -> int:
    if not key.isdigit() or int(key) >= len(place):
        raise ValueError(f"'{override}': '{key}' is no position of that list; expected 0 to {len(place) - 1}")
    return int(key)


def _follows(problem: Any, problems: Sequence[Any]) -> bool:
    """Whether a list is only too short because of another problem inside it."""
    loc = problem["loc"]
    return problem["type"] == "too_short" and any(p["loc"][: len(loc)] == loc and p["loc"] != loc for p in problems)


def _explain(problem: Any) -> str:
    """One line from one of pydantic's errors: path, what was found, what is expected, and the nearest name."""
    place: Any = Config
    path: list[str] = []
    for part in problem["loc"][:-1]:
        place, shown = _step(place, part)
        path += [str(part)] if shown else []
    last = problem["loc"][-1] if problem["loc"] else ""
    _, shown = _step(place, last)
    where = ".".join([*path, *([str(last)] if shown and last != "" else [])]) or "config"
    if problem["type"] == "extra_forbidden":
        known = list(_models(place)[0].model_fields) if _models(place) else []
        near = difflib.get_close_matches(str(last), known, n=1)
        cure = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
        return f"unknown key '{where}'; {cure}"
    if problem["type"].startswith("union_tag"):
        name = problem["ctx"]["discriminator"].strip("'")
        choices = [tag for model in _models(_step(place, last)[0]) for tag in _tags(model)]
        return f"{where} is {problem['input']!r}; its '{name}' should be one of {', '.join(choices)}"
    if problem["type"] == "missing":
        return f"{where} is missing; it has no default"
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    return f"{where} is {problem['input']!r}; {message[0].lower()}{message[1:]}"


def _step(place: Any, part: str | int) -> tuple[Any, bool]:
    """What one part of an error's path leads to, and whether the user wrote that part (union tags are pydantic's)."""
    if isinstance(part, int):
        return list(_models(place)), True
    if get_origin(place) is dict:
        return _models(place), True
    models = _models(place)
    for model in models:
        if part in model.model_fields:
            return model.model_fields[part].annotation, True
    tagged = [model for model in models if part in _tags(model)]
    if tagged and len(models) > 1:
        return tagged[0], False
    return (None, True) if models else (None, False)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Config sections that an annotation can hold, in tuples and unions too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, list):
        return annotation
    return [model for part in get_args(annotation) for model in _models(part)]


def _tags(model: type[BaseModel]) -> tuple[str, ...]:
    for name in ("set", "name"):
        if name in model.model_fields:
            return get_args(model.model_fields[name].annotation)
    return ()


def _section_lines(section: type[BaseModel], depth: int) -> Iterator[str]:
    pad = "  " * depth
    for name, field in section.model_fields.items():
        models = _models(field.annotation)
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
            value = " | ".join(_tags(model)) if name in ("set", "name") and _tags(model) else _plain(field)
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


_DEFAULTS = _defaults()
