"""Check whether a requested sweep is possible, and show its values."""

import re
from collections.abc import Mapping

from nerveseg.errors import ParamsError, TrackingError
from nerveseg.experiments.sweep_space import Space

_NAME = re.compile(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*")


def check(name: str, trials: int, space: Space) -> None:
    """Raise ParamsError or TrackingError if the sweep is not possible."""
    if not _NAME.fullmatch(name) or name.endswith(".lock"):
        raise ParamsError(
            f"{name!r} cannot name experiments; use letters and digits, with single '-', '_' or '.' between"
        )
    if trials < 1:
        raise ParamsError(f"--trials is {trials}; at least one is needed")
    if trials > space.combinations:
        raise ParamsError(
            f"--trials is {trials}, but these values have only {space.combinations:g} combinations; run them all with "
            "`dvc exp run --queue -S ...`, or give ranges"
        )
    if not space.params.tracking.enabled:
        raise TrackingError(
            "a sweep stops bad trials by their curves in MLflow, but tracking is off; set tracking.enabled: true in params.yaml"
        )


def shown_values(tried: Mapping[str, str]) -> str:
    return ", ".join(
        f"{key} {float(text):.4g}" if _is_decimal(text) else f"{key} {text}" for key, text in tried.items()
    )


def _is_decimal(text: str) -> bool:
    return bool(re.fullmatch(r"\d+\.\d+(e-?\d+)?", text))
