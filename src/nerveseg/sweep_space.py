"""Which values a sweep may try: ranges in the style of `dvc exp run -S`.

lr=1e-4,3e-4,1e-3     one of these
augment.gamma=0.1..0.5    uniform between both ends, included; whole numbers where both ends are
lr=log:1e-4..1e-2     uniform in the logarithm
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nerveseg.errors import NervesegError, ParamsError
from nerveseg.params import load_params

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_RANGE = re.compile(r"(?P<log>log:)?(?P<low>[^,]+?)\.\.(?P<high>[^,]+)")
_WHOLE = re.compile(r"[+-]?\d+")


class SweepError(NervesegError):
    """A sweep cannot be run as asked."""


def search_space(settings: Sequence[str], params: Path) -> "dict[str, BaseDistribution]":
    """What Optuna draws from, by the parameters' names.

    Args:
        settings: as the module says.
        params: the file params.yaml, in which each name must be, and which must take each choice and both ends of each range.

    Raises:
        SweepError: a setting cannot be read.
        ParamsError: a name or a value is none that the params allow.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    space: dict[str, BaseDistribution] = {}
    for setting in settings:
        name, equals, values = setting.partition("=")
        if not (name and equals and values) or name in space:
            raise SweepError(
                f"-S {setting!r} was found; expected each parameter once, as lr=1e-4,1e-3 or lr=log:1e-4..1e-2"
            )
        found = _RANGE.fullmatch(values)
        if found is None:
            choices = values.split(",")
            _check(name, choices, params)
            space[name] = CategoricalDistribution(choices)
            continue
        ends = [found["low"], found["high"]]
        _check(name, ends, params)
        logarithmic = bool(found["log"])
        try:
            if all(_WHOLE.fullmatch(end) for end in ends):
                space[name] = IntDistribution(int(ends[0]), int(ends[1]), log=logarithmic)
            else:
                space[name] = FloatDistribution(float(ends[0]), float(ends[1]), log=logarithmic)
        except ValueError as error:
            raise SweepError(
                f"-S {setting!r} is no range ({error}); expected two numbers, the lower one first"
            ) from None
    return space


def _check(name: str, values: Sequence[str], params: Path) -> None:
    for value in values:
        content = yaml.safe_load(params.read_text(encoding="utf-8"))
        *sections, key = name.split(".")
        section: Any = content
        for part in sections:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            raise ParamsError(f"{params}: {name} is not a parameter; expected a key of it, as lr or unet.base_filters")
        section[key] = yaml.safe_load(value)
        with tempfile.TemporaryDirectory() as folder:
            changed = Path(folder) / params.name
            changed.write_text(yaml.safe_dump(content), encoding="utf-8")
            try:
                load_params(changed)
            except ParamsError as error:
                raise ParamsError(str(error).replace(str(changed), f"-S {name}={value}")) from None
