"""Params and scores as MLflow takes them: flat, with keys joined by dots."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from flatten_dict import flatten

_LONGEST_VALUE = 6000  # characters of a parameter; MLflow refuses more


def flat_params(content: Mapping[str, Any]) -> dict[str, str]:
    """Return text by key; numbers, lists and null are JSON."""
    texts = flatten(content, reducer="dot").items()
    return {key: (value if isinstance(value, str) else json.dumps(value))[:_LONGEST_VALUE] for key, value in texts}


def chosen_params(params: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return those that names in dvc.yaml choose: keys, or whole sections."""
    return {key: params[key] for key in params if any(f"{key}.".startswith(f"{name}.") for name in names)}


def flat_numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the numbers by key, and leave out all else."""
    for key, value in flatten(values, reducer="dot").items():
        if isinstance(value, bool | int | float | np.number):
            yield re.sub(r"[^\w\-./: ]", "_", key), float(value)
