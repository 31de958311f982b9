"""Sections on the data: their source, split, preparation and augmentation."""

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from nerveseg.params.fields import Amount, BlackWhite, Decibels, Folder, Label, Positive, Section, Share, Side, Subject


class DataParams(Section):
    dir: Folder
    subject_pattern: str
    nerve_labels: tuple[Label, ...]
    max_quarantined: Share
    drop_conflicts: bool
    spacing_mm: tuple[Positive, Positive] | None
    grey_range: BlackWhite | None

    @field_validator("subject_pattern")
    @classmethod
    def _one_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"is {pattern!r}, no regular expression ({error})") from None
        if groups != 1:
            raise ValueError(f"is {pattern!r} with {groups} groups; exactly one group (...) must match the subject")
        return pattern


class PhantomParams(Section):
    subjects: Annotated[int, Field(ge=3)]
    frames_per_subject: Annotated[int, Field(ge=3)]
    width: Annotated[int, Field(ge=64, le=2048)]
    height: Annotated[int, Field(ge=64, le=2048)]
    nerve_fraction: Annotated[float, Field(gt=0.0, lt=0.5)]

    @model_validator(mode="after")
    def _a_neck_fits(self) -> Self:
        if not self.height <= 2 * self.width <= 8 * self.height:
            raise ValueError(
                f"width {self.width} and height {self.height} leave no room for a neck; "
                "make the frame between half as wide and four times as wide as it is high"
            )
        return self


class SplitParams(Section):
    val_fraction: Annotated[float, Field(gt=0.0, lt=1.0)]
    test_fraction: Annotated[float, Field(gt=0.0, lt=1.0)]
    folds: Annotated[int, Field(ge=0, le=100)]
    fold: Annotated[int, Field(ge=0)]
    val_subjects: tuple[Subject, ...]
    test_subjects: tuple[Subject, ...]

    @model_validator(mode="after")
    def _parts_are_disjoint(self) -> Self:
        if self.val_fraction + self.test_fraction >= 1.0:
            raise ValueError(
                f"val_fraction {self.val_fraction:g} + test_fraction {self.test_fraction:g} must be below 1, "
                "so that subjects are left to train on"
            )
        for key in ("val_subjects", "test_subjects"):
            named = getattr(self, key)
            if twice := sorted({subject for subject in named if named.count(subject) > 1}):
                raise ValueError(f"{key} names {', '.join(twice)} more than once; name each subject once")
        if self.folds == 1 or self.fold >= max(self.folds, 1):
            raise ValueError(f"fold is {self.fold}, folds is {self.folds}; folds is 0 (off) or 2 or more, fold less")
        if self.folds and self.test_subjects and self.val_subjects:
            raise ValueError("folds with test_subjects choose val, as val_subjects do; set folds to 0 or these to []")
        if both := sorted(set(self.val_subjects) & set(self.test_subjects)):
            raise ValueError(f"subjects {', '.join(both)} stand in val_subjects and in test_subjects; keep each in one")
        return self


class PreprocessParams(Section):
    width: Annotated[Side, Field(ge=32, multiple_of=32)]
    height: Annotated[Side, Field(ge=32, multiple_of=32)]
    shards: Annotated[int, Field(ge=1, le=256)]


class AugmentParams(Section):
    variants: Annotated[int, Field(ge=0, lt=1000)]
    flip: Share
    rotation: Annotated[float, Field(ge=0.0, le=180.0)]
    scale: Amount
    shift: Amount
    gain: Amount
    gamma: Annotated[float, Field(ge=0.0, le=2.0)]
    speckle: Decibels
    time_gain: Decibels
    lateral_gain: Decibels
    reverberation: Share
    shadow: Share
    blur: Share
    defocus: Share
