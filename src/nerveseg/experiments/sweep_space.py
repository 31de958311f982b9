"""The values that a sweep may try, written as for `dvc exp run -S`: `key=a,b,c` is a choice, `key=value` is the same in
every trial, and `key=a..b`, which DVC does not know, is a range.

A range of an integer parameter has integers. A range whose ends are positive and at least ten times apart is drawn
log-uniformly, any other uniformly. All values are checked against `params.yaml` before the first trial: each end of each
range with each choice, and each integer of a range by itself.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nerveseg.errors import ParamsError
from nerveseg.params.file import checked, read_params
from nerveseg.registry.project_params import ProjectParams

if TYPE_CHECKING:
    from optuna import Trial

_RANGE = re.compile(r"(.+?)\.\.(.+)")
_LOG_FROM = 10.0  # times that the ends of a range are apart
_MOST_CHECKED = 2000  # combinations of values, and integers of a range


@dataclass(frozen=True)
class Choice:
    """The values of one key, as text for `-S` and parsed."""

    texts: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def size(self) -> float:
        return len(self.texts)

    def __str__(self) -> str:
        return ", ".join(self.texts)


@dataclass(frozen=True)
class Range:
    """Both ends included; its values are integers if both ends are."""

    low: float
    high: float

    @property
    def log(self) -> bool:
        return self.low > 0 and self.high / self.low >= _LOG_FROM

    @property
    def values(self) -> tuple[float, ...]:
        return (self.low, self.high)

    @property
    def integers(self) -> Sequence[int]:
        return range(self.low, self.high + 1) if isinstance(self.low, int) and isinstance(self.high, int) else ()

    @property
    def size(self) -> float:
        return self.high - self.low + 1 if self.integers else math.inf

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}, {'log-uniform' if self.log else 'uniform'}"


@dataclass(frozen=True)
class Space:
    """The values that all trials share, as text for `-S`; those that vary; and `params.yaml` with the former."""

    fixed: Mapping[str, str]
    varied: Mapping[str, Choice | Range]
    params: ProjectParams

    @property
    def combinations(self) -> float:
        """Number of different trials; infinite with a range of decimals."""
        return math.prod(values.size for values in self.varied.values())

    def suggest(self, trial: "Trial") -> dict[str, str]:
        """Return the values of a trial, as text for `-S`; the same for each call with one trial."""
        tried = {}
        for key, values in self.varied.items():
            if isinstance(values, Choice):
                tried[key] = str(trial.suggest_categorical(key, values.texts))
            elif values.integers:
                tried[key] = str(trial.suggest_int(key, int(values.low), int(values.high), log=values.log))
            else:
                tried[key] = repr(trial.suggest_float(key, values.low, values.high, log=values.log))
        return tried


def read_space(given: Sequence[str], path: Path | str = "params.yaml") -> Space:
    """Return the space of several `key=values`; ParamsError if one is no such text or is refused, or none varies."""
    content = read_params(path)
    parsed = dict(_parsed(given))
    fixed = {key: choice for key, choice in parsed.items() if isinstance(choice, Choice) and len(choice.texts) == 1}
    varied = {key: values for key, values in sorted(parsed.items()) if key not in fixed}
    base = _with(content, {key: choice.values[0] for key, choice in fixed.items()})
    shown = " ".join([str(path), *(f"-S {key}={choice}" for key, choice in fixed.items())])
    unvaried = checked(ProjectParams, base, shown)
    if not varied:
        raise ParamsError("a sweep needs values to choose from; give some, for example -S 'lr=1e-4..1e-2'")
    for combination in islice(product(*(values.values for values in varied.values())), _MOST_CHECKED):
        _checked(base, dict(zip(varied, combination, strict=True)))
    first = {key: values.values[0] for key, values in varied.items()}
    params = _checked(base, first)
    for key, values in varied.items():
        if isinstance(values, Range):
            varied[key] = typed = _of_the_keys_type(key, values, params)
            for value in typed.integers[:_MOST_CHECKED]:
                _checked(base, first | {key: value})
    return Space({key: choice.texts[0] for key, choice in fixed.items()}, varied, unvaried)


def _parsed(given: Sequence[str]) -> Iterator[tuple[str, Choice | Range]]:
    from hydra.core.override_parser.overrides_parser import OverridesParser  # what DVC reads -S with
    from hydra.core.override_parser.types import ChoiceSweep, OverrideType, QuotedString
    from hydra.errors import HydraException

    def plain(value: Any) -> Any:
        if isinstance(value, QuotedString):
            return value.text
        return [plain(item) for item in value] if isinstance(value, list) else value

    seen = set()
    for text in given:
        try:
            (override,) = OverridesParser.create().parse_overrides([text])
        except HydraException:
            raise ParamsError(f"-S {text!r} is not key=values; write 'lr=1e-4..1e-2' or 'lr=1e-4,1e-3'") from None
        key = override.key_or_group
        if key in seen:
            raise ParamsError(f"-S names {key} more than once; give all of its values in one")
        seen.add(key)
        value = override.value()
        other_sweep = override.is_sweep_override() and not isinstance(value, ChoiceSweep)
        if other_sweep or override.type is not OverrideType.CHANGE:
            raise ParamsError(f"-S {text!r} is neither a choice (key=a,b,c) nor a range (key=a..b); write one of them")
        if isinstance(value, ChoiceSweep):
            texts = tuple(dict.fromkeys(map(str, override.sweep_string_iterator())))
            values = [plain(item) for item in value.list]
            yield key, Choice(texts, tuple(each for n, each in enumerate(values) if each not in values[:n]))
        elif found := _as_range(text, value):
            yield key, found
        else:
            yield key, Choice((override.get_value_element_as_str(),), (plain(value),))


def _as_range(text: str, value: object) -> Range | None:
    ends = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if ends is None:
        return None
    try:
        low, high = (_number(end) for end in ends.groups())
    except ValueError:
        return None  # text with dots in it, which the params check
    if not low < high:
        raise ParamsError(f"-S {text!r}: the range goes from {low:g} to {high:g}; write the lower end first")
    whole = isinstance(low, int) and isinstance(high, int)
    return Range(low, high) if whole else Range(float(low), float(high))


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _of_the_keys_type(key: str, values: Range, params: ProjectParams) -> Range:
    value: Any = params
    for part in key.split("."):
        value = getattr(value, part)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ParamsError(f"{key} is not a number, so it has no range; list its values, as -S '{key}=a,b'")
    if isinstance(value, float):
        return Range(float(values.low), float(values.high))
    return values  # the params accepted both ends as integers


def _checked(base: Mapping[str, Any], tried: Mapping[str, Any]) -> ProjectParams:
    shown = " ".join(f"-S {key}={value}" for key, value in tried.items())
    return checked(ProjectParams, _with(base, tried), shown)


def _with(content: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    changed = deepcopy(dict(content))
    for key, value in values.items():
        *sections, name = key.split(".")
        section: Any = changed
        for part in sections:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            raise ParamsError(f"-S {key} names no section of params.yaml; write it as it stands there, as unet.epochs")
        section[name] = value
    return changed
