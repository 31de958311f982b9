"""The types of values in `params.yaml`, and the base class of its sections."""

from itertools import pairwise
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core.core_schema import ValidatorFunctionWrapHandler

from nerveseg.text.wording import not_expanded

FRESH = "models/fresh"  # a folder without weights: a training that starts from it starts from random ones


def _expanded(folder: str) -> str:
    if remedy := not_expanded(folder):
        raise ValueError(remedy)
    return folder


def _within_the_repository(folder: str) -> str:
    if PurePath(folder).is_absolute():
        raise ValueError(f"it is {folder}, of this machine; copy it into the repository, such as to models/pretrained")
    return folder


def _increasing(remedy: str) -> AfterValidator:
    def checked(values: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(values)):
            raise ValueError(f"is {list(values)}; {remedy}")
        return values

    return AfterValidator(checked)


def _subject(name: object) -> str:
    usable = isinstance(name, str | int) and not isinstance(name, bool)
    if not usable:
        raise ValueError(f"a subject is {name!r} to YAML; put its name in quotes, for example '1.10'")
    return str(name)


def _either(expected: str) -> WrapValidator:
    """Report one message where a value fits no kind of a union; pydantic would report one for each kind."""

    def checked(value: object, check: ValidatorFunctionWrapHandler) -> object:
        try:
            return check(value)
        except ValidationError:
            raise ValueError(f"is {value!r:.80}; give {expected}") from None

    return WrapValidator(checked)


Share = Annotated[float, Field(ge=0.0, le=1.0)]
Amount = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Decibels = Annotated[float, Field(ge=0.0, le=20.0)]
Side = Annotated[int, Field(ge=1, le=1024)]  # of the network's input
GreyLevel = Annotated[float, Field(ge=0.0, le=255.0)]
Positive = Annotated[float, Field(gt=0.0)]
LearningRate = Annotated[float, Field(gt=0.0, le=1.0)]
_FIVE = tuple[Positive, Positive, Positive, Positive, Positive]
Strengths = Annotated[_FIVE, _increasing("each severity must be stronger than the one before it")]
Level = Annotated[float, Field(allow_inf_nan=False)]
_WHITE_ABOVE = _increasing("give the level that is black, then a greater one that is white")
BlackWhite = Annotated[tuple[Level, Level], _WHITE_ABOVE]
Folder = Annotated[str, Field(min_length=1), AfterValidator(_expanded)]
RelativeFolder = Annotated[Folder, AfterValidator(_within_the_repository)]
Subject = Annotated[str, BeforeValidator(_subject)]
Threshold = Annotated[
    Literal["expected"] | Annotated[float, Field(gt=0.0, lt=1.0)], _either("`expected` or a number between 0 and 1")
]
Label = Annotated[
    Annotated[int, Field(ge=1, le=65535)]
    | Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$"), AfterValidator(str.lower)]
    | Annotated[str, Field(pattern=r"^[^#\s0-9][^\n]*$")],
    _either("a number from 1 to 65535, a colour of six digits such as '#ff0000', or a name such as nerve"),
]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
