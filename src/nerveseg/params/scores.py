"""Sections on scoring and on the report."""

from typing import Annotated

from pydantic import Field, field_validator

from nerveseg.params.fields import RelativeFolder, Section


class EvaluateParams(Section):
    ensemble: RelativeFolder
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...]
    bootstrap: Annotated[int, Field(ge=100, le=100_000)]

    @field_validator("severities")
    @classmethod
    def _with_the_one_that_is_reported(cls, severities: tuple[int, ...]) -> tuple[int, ...]:
        if 3 not in severities or len(set(severities)) < len(severities):
            raise ValueError(f"is {list(severities)}; it must have 3, which metrics.json shows, and each value once")
        return severities


class VisualizeParams(Section):
    cases: Annotated[int, Field(ge=1, le=24)]
    dpi: Annotated[int, Field(ge=50, le=600)]
