"""Section `tracking` of `params.yaml`, beside the sections that stages read."""

from typing import Annotated

from pydantic import AfterValidator, Field

from nerveseg.params.fields import Section
from nerveseg.params.file import Params


def _of_model(name: str) -> str:
    if found := sorted(set(name) & set("/:.%\"'")):
        raise ValueError(f"it is {name}; MLflow allows no {' '.join(found)} in a model's name")
    return name


class TrackingParams(Section):
    enabled: bool
    required: bool
    experiment: Annotated[str, Field(min_length=1)]
    model_name: Annotated[str, Field(min_length=1), AfterValidator(_of_model)]
    promote: bool


class TrackedParams(Params):
    tracking: TrackingParams
