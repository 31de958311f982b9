"""Section `tracking` of `params.yaml`, beside the sections that stages read."""

from typing import Annotated

from pydantic import Field

from nerveseg.params.fields import Section
from nerveseg.params.file import Params


class TrackingParams(Section):
    enabled: bool
    required: bool
    experiment: Annotated[str, Field(min_length=1)]
    model_name: Annotated[str, Field(min_length=1)]
    promote: bool


class TrackedParams(Params):
    tracking: TrackingParams
