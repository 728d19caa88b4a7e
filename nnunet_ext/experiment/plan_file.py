"""A plan as it is written in YAML: which keys there are, and what is no plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from nnunet_ext.errors import UserError
from nnunet_ext.json_shape import mismatch

_Positive = Annotated[int, Field(ge=1)]
_Natural = Annotated[int, Field(ge=0)]
_Fold = _Natural | Literal["all"]


class ModelYaml(TypedDict):
    """A model with more than a trainer's name."""

    trainer: str
    name: NotRequired[str]
    dataset: NotRequired[int | str]
    configuration: NotRequired[str]
    plans: NotRequired[str]


class PlanYaml(TypedDict):
    """A plan as it is written; docs/experiments.md explains each key."""

    models: Annotated[list[str | ModelYaml], Field(min_length=1)]
    dataset: NotRequired[int | str]
    configuration: NotRequired[str]
    plans: NotRequired[str]
    folds: NotRequired[Annotated[list[_Fold], Field(min_length=1)]]
    seeds: NotRequired[Annotated[list[_Natural], Field(min_length=1)]]
    epochs: NotRequired[_Positive]
    iterations: NotRequired[_Positive]
    options: NotRequired[str]
    device: NotRequired[Literal["cuda", "cpu", "mps"]]
    cases: NotRequired[Literal["test", "validation"]]
    reference: NotRequired[int | str]
    baseline: NotRequired[str]
    groups: NotRequired[dict[str, str]]
    metrics: NotRequired[list[str]]


_KEYS = {"the plan": set(PlanYaml.__annotations__), "a model": set(ModelYaml.__annotations__)}


def read_plan(file: Path) -> PlanYaml:
    """Read a plan in YAML.

    Raises
    ------
    UserError
        If it is missing, is no YAML, or has a key or a value that no plan has; the text says which.
    """
    import yaml

    try:
        text = file.read_text(encoding="utf-8")
        _refuse_keys_given_twice(yaml.compose(text, yaml.SafeLoader), file)
        content = yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"Cannot read {file}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise UserError(f"{file} is no YAML: {where}") from error
    except RecursionError as error:
        raise UserError(f"{file}: a part of it contains itself, or is nested too deeply.") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected 'models:' and so on; docs/experiments.md has an example.")
    return check_plan(content, str(file))


def _refuse_keys_given_twice(node: Any, file: Path) -> None:
    """YAML takes the last of two equal keys without a word."""
    import yaml

    for part in node.value if isinstance(node, yaml.MappingNode | yaml.SequenceNode) else ():
        _refuse_keys_given_twice(part[1] if isinstance(part, tuple) else part, file)
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        twice = next((key for key, _ in node.value if keys.count(key.value) > 1), None)
        if twice is not None:
            line = twice.start_mark.line + 1
            raise UserError(f"{file}, line {line}: {twice.value!r} is there twice. Keep one of them.")


def check_plan(content: Mapping[str, Any], where: str) -> PlanYaml:
    """Return the plan, or raise `UserError` for a key or a value that no plan has."""
    models = content.get("models")
    of_models = [model for model in models if isinstance(model, dict)] if isinstance(models, list) else []
    for what, keys in (("the plan", content), *(("a model", model) for model in of_models)):
        unknown = [key for key in keys if key not in _KEYS[what]]
        if unknown:
            known = ", ".join(sorted(_KEYS[what]))
            raise UserError(f"{where}: unknown key {unknown[0]!r} in {what}. Known: {known}.")
    without = next((model for model in of_models if "trainer" not in model), None)
    if without is not None:
        raise UserError(f"{where}: a model has no 'trainer': {without}.")
    if problem := mismatch(dict(content), PlanYaml):
        raise UserError(f"{where}: {problem.replace('the file has', 'the plan has')}.")
    return content  # type: ignore[return-value]
