"""`params.yaml` as frozen, typed objects.

`load_params` checks all sections that stages read, so that a wrong key or value fails before any work starts: `ParamsError`
has a line for each key that is unknown, missing, or has an impossible value. The sections of the observers (`OBSERVERS`) are
checked by `registry.project_params`, which adds them to these. Functions take the section that they need, not the whole.

Values are read as DVC reads them and not as YAML 1.1 does: `no` is text, `12:30` is not a number, 010 is ten, and `1e-05`,
which `dvc exp run -S lr=1e-5` writes, is a number.
"""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from nerveseg.errors import ParamsError
from nerveseg.params.data import AugmentParams, DataParams, PhantomParams, PreprocessParams, SplitParams
from nerveseg.params.fields import LearningRate, Section
from nerveseg.params.networks import DegradationParams, ExportParams, GanParams, PostprocessParams, UNetParams
from nerveseg.params.scores import EvaluateParams, VisualizeParams

OBSERVERS = ("gate", "tracking")  # sections that no stage reads
LONGEST_EXAMPLE = 40  # letters


class _AsTyped(yaml.SafeLoader):
    """Reads usual spellings of numbers, booleans and null; all else is text for the key's type. Refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        keys: list[Any] = []
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value in keys:
                problem = f"{key.value} stands in its section twice; remove one of them"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            keys.append(key.value)
        return super().construct_mapping(node, deep)


_FLOAT = r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
_AsTyped.yaml_implicit_resolvers = {}
for _tag, _spelling, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9]\d*)", "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _AsTyped.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_spelling})$"), list(_first))


class Params(Section):
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    lr: LearningRate
    data: DataParams
    phantom: PhantomParams
    split: SplitParams
    preprocess: PreprocessParams
    augment: AugmentParams
    unet: UNetParams
    degradation: DegradationParams
    gan: GanParams
    postprocess: PostprocessParams
    export: ExportParams
    evaluate: EvaluateParams
    visualize: VisualizeParams

    @model_validator(mode="after")
    def _the_input_can_be_halved(self) -> Self:
        for side in ("width", "height"):
            self.unet.check_side(f"preprocess.{side}", getattr(self.preprocess, side))
        return self


P = TypeVar("P", bound=Section)


def load_params(path: Path | str = "params.yaml") -> Params:
    """Read and check the sections that stages read."""
    return checked_params(read_params(path), str(path))


def read_params(path: Path | str = "params.yaml") -> dict[str, Any]:
    """Return the content of the file, unchecked; raise `ParamsError` if it is missing or not a YAML mapping."""
    path = Path(path)
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=_AsTyped)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise ParamsError(
            f"{path} was not found; run from the repository's root, or restore it with `git checkout {path.name}`"
        ) from None
    except OSError as error:
        raise ParamsError(f"{path} cannot be read ({error.strerror}); check what it is and its permissions") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:  # not all are YAML's own
        quotes = "; put colours in quotes: '#ff0000'" if re.search(r"[\[,]\s*#[0-9a-fA-F]{3}", text) else ""
        raise ParamsError(f"{path} is not valid YAML: {_yaml_fault(error)}{quotes}") from None
    if not isinstance(content, dict):
        found = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise ParamsError(f"{path} {found}, expected a mapping of sections to values")
    return content


def _yaml_fault(error: Exception) -> str:
    """Return where and what, on one line."""
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    fault = str(getattr(error, "problem", None) or error).replace('in "<unicode string>", ', "")
    return place + " ".join(fault.split())


def checked_params(content: Mapping[str, Any], source: str) -> Params:
    """Return the sections of `content` that stages read, checked as by `checked`."""
    return checked(Params, {key: value for key, value in content.items() if key not in OBSERVERS}, source)


def checked(kind: type[P], content: Mapping[str, Any], source: str) -> P:
    """Return `content` as an object of this kind; errors name its `source`."""
    try:
        return kind.model_validate(content)
    except ValidationError as invalid:
        wrong = invalid.errors()

        def fits(problem: Any, value: object) -> bool:
            """Return whether this value is right in place of the wrong one."""
            try:
                kind.model_validate(_with(content, problem["loc"], value))
            except ValidationError as others:
                return all(other in wrong and other != problem for other in others.errors())
            return True

        raise ParamsError(*[f"{source}: {_explain(problem, kind, fits)}" for problem in wrong]) from None


def _with(content: Any, place: Sequence[Any], value: object) -> Any:
    first, *below = place
    return {**content, first: _with(content[first], below, value) if below else value}


def _meant(name: str, place: Sequence[str], kind: type[Section]) -> str:
    """Return what may help after a key that no section at `place` has."""
    model: Any = kind
    for part in place:
        model = model.model_fields[part].annotation
    sections = {"": kind} | {f"{section}.": of.annotation for section, of in kind.model_fields.items()}
    places = [(section, field) for section, of in sections.items() for field in getattr(of, "model_fields", ())]
    known, fields = sorted(model.model_fields), dict.fromkeys(field for _, field in places)
    near = get_close_matches(name, known, n=1)
    wanted = [name] if near else get_close_matches(name, fields, n=1, cutoff=0.8)
    near = [section + field for section, field in places if field in wanted] or near
    return f"did you mean {' or '.join(near)}?" if near else f"allowed here: {', '.join(known)}"


def _explain(problem: Any, kind: type[Section], fits: Callable[[Any, object], bool]) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *place, name = problem["loc"]
        return f"{key} is not a parameter; {_meant(str(name), place, kind)}"
    if problem["type"] == "missing":
        short = ": the list is too short" if isinstance(problem["loc"][-1], int) else ""
        return f"{key} is missing{short}; add it (see the committed params.yaml)"
    if problem["type"] == "value_error":
        return f"{key + ': ' if key else ''}{problem['ctx']['error']}"
    if problem["type"] == "tuple_type":
        lists = ([problem["input"]] * length for length in (1, 2) if len(repr(problem["input"])) <= LONGEST_EXAMPLE)
        example = next((f", such as {values!r}" for values in lists if fits(problem, values)), "")
        return (
            f"{key} is {problem['input']!r:.80}; give a list in brackets{example or ' (see the committed params.yaml)'}"
        )
    if (
        problem["type"] == "string_type"
        and isinstance(problem["input"], int | float)
        and fits(problem, str(problem["input"]))
    ):
        return f"{key} is {problem['input']} to YAML; put it in quotes"
    found = "empty" if problem["input"] is None else repr(problem["input"])
    return f"{key} is {found}; {problem['msg'][0].lower()}{problem['msg'][1:]}"
