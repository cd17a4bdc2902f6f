"""Config files: reading them with overrides, and messages that name the key."""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from mlip.config import Config, Data
from mlip.configreference import models_of, tags_of

LARGEST_FILE, LARGEST_COUNT = 1_000_000, 200_000  # bytes and values: several thousand functions listed one by one
# Sections that a word may stand for, and what it is there; an override adds to them.
WORDS = {"model": "kind", "model.pair": "form", "model.baseline": "form", "model.gpr.kernel": "name"}
DATA_SUFFIXES = (".npz", ".xyz", ".extxyz", ".h5", ".hdf5", ".data", ".traj", ".db")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, apply overrides such as `training.epochs=50`, and check every key and value.

    Raises:
        ValueError: the file is missing or no YAML, a key is unknown, or a value is of the wrong kind; the message names
            the path of the key, what was found and what is expected.
    """
    path = Path(path)
    if path.suffix in DATA_SUFFIXES and path.is_file():
        raise ValueError(f"{path}: is no config but a data file; write a config with data.train: {path.name}")
    values = read_yaml(path, "config file", "`mlip schema --yaml` prints one with every key")
    if values is None:
        raise ValueError(f"{path}: is empty; expected the sections {', '.join(Config.model_fields)}")
    if not isinstance(values, dict):
        raise ValueError(
            f"{path}: holds {type(values).__name__}; expected the sections {', '.join(Config.model_fields)}"
        )
    for override in overrides:
        apply_override(values, override)
    return parse_config(values, str(path))


def read_yaml(path: str | Path, kind: str, cure: str) -> Any:
    """What a YAML file holds; `kind` says what it should be and `cure` what to do if it is not there.

    Raises:
        ValueError: there is no such file, or it is no YAML.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: this is a folder; expected a {kind}")
    if not path.is_file():
        raise ValueError(f"{path}: no such {kind}. {cure}")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(
            f"{path}: {path.stat().st_size} bytes; a {kind} has at most {LARGEST_FILE}. Is it another file?"
        )
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error


def parse_config(values: dict[Any, Any], origin: str) -> Config:
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
    except (yaml.YAMLError, RecursionError, ValueError) as error:
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
            if isinstance(place[key], str) and where in WORDS:
                place[key] = {WORDS[where]: place[key]}
            place = place[key]
        if not isinstance(place, dict | list):
            raise ValueError(f"'{override}': {where} is {place!r}, which has no keys; expected a section there")
    if isinstance(place, list):
        place[_index(last, place, override)] = value
    else:
        place[last] = value


def as_yaml(config: Config) -> str:
    """The resolved config with every value, as YAML that reads back to the same config."""
    return _as_yaml(config.model_dump_json())


def descriptor_yaml(config: Config) -> str:
    """The part of a config that gives its symmetry functions, as YAML."""
    return _as_yaml(config.model_dump_json(include={"model": {"descriptor"}}))


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Paths of the keys whose values differ between two configs as plain values."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [path] if one != other else []
    keys = sorted({*one, *other})
    return [
        found
        for key in keys
        for found in differences(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    ]


def _as_yaml(values: str) -> str:
    return yaml.dump(json.loads(values), Dumper=_Dumper, width=10_000, sort_keys=False, allow_unicode=True)


def _defaults() -> dict[str, Any]:
    """What sections with a kind (optimizer, schedule, descriptor) are when a config says nothing about them."""
    sections = {name: field.default for name, field in Config.model_fields.items() if not field.is_required()}
    return {
        name: {
            key: json.loads(json.dumps(_plain_values(value)))
            for key, value in section
            if isinstance(value, tuple) or (isinstance(value, BaseModel) and tags_of(type(value)))
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

    def construct_document(self, node: yaml.Node) -> Any:
        _count(node, {})
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.YAMLError(f"key '{key.value}' stands twice, again{key.start_mark}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, with every alias written out.

    Raises:
        yaml.YAMLError: they are more than a config has, or without end.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = LARGEST_COUNT  # of a node that holds itself
        parts = [part for value in node.value for part in (value if isinstance(value, tuple) else (value,))]
        known[id(node)] = 1 + sum(_count(part, known) for part in parts if isinstance(part, yaml.Node))
    if known[id(node)] > LARGEST_COUNT:
        raise yaml.YAMLError(f"more than {LARGEST_COUNT} values with all aliases (*name) written out{node.start_mark}")
    return known[id(node)]


class _Dumper(yaml.SafeDumper):
    """Quotes text that either reader, ours or YAML 1.1's, would take for something else; one line for each function."""

    def represent_sequence(self, *arguments: Any, **options: Any) -> yaml.SequenceNode:
        node = super().represent_sequence(*arguments, **options)
        for item in node.value:
            if isinstance(item, yaml.MappingNode):
                parts = [part for _, value in item.value for part in getattr(value, "value", ())]
                item.flow_style = not any(isinstance(part, yaml.MappingNode) for part in parts)
        return node


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
        known = list(models_of(place)[0].model_fields) if models_of(place) else []
        near = difflib.get_close_matches(str(last), known, n=1)
        cure = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
        return f"unknown key '{where}'; {cure}"
    if problem["type"].startswith("union_tag"):
        name = problem["ctx"]["discriminator"].strip("'")
        choices = [tag for model in models_of(_step(place, last)[0]) for tag in tags_of(model)]
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
        return list(models_of(place)), True
    if get_origin(place) is dict:
        return models_of(place), True
    models = models_of(place)
    for model in models:
        if part in model.model_fields:
            return model.model_fields[part].annotation, True
    tagged = [model for model in models if part in tags_of(model)]
    if tagged and len(models) > 1:
        return tagged[0], False
    return (None, True) if models else (None, False)


_DEFAULTS = _defaults()
