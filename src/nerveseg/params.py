"""`params.yaml` as frozen, typed objects.

`load_params` reads and checks the whole file, so that a wrong key or value fails before any work starts.
Values mean what was typed, as DVC reads them and not as YAML 1.1 does: `no` is text for a key that takes text, `12:30` no
number, 010 ten, and `1e-05`, which `dvc exp run -S lr=1e-5` writes, a number.
A function that needs parameters takes its own section (`UNetParams`), never the whole.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from nerveseg.errors import ParamsError

# The encoders of segmentation_models 1.0, named here since importing it would cost every stage seconds.
ENCODERS = (
    "densenet121", "densenet169", "densenet201", "efficientnetb0", "efficientnetb1", "efficientnetb2", "efficientnetb3",
    "efficientnetb4", "efficientnetb5", "efficientnetb6", "efficientnetb7", "inceptionresnetv2", "inceptionv3",
    "mobilenet", "mobilenetv2", "resnet101", "resnet152", "resnet18", "resnet34", "resnet50", "resnext101", "resnext50",
    "senet154", "seresnet101", "seresnet152", "seresnet18", "seresnet34", "seresnet50", "seresnext101", "seresnext50",
    "vgg16", "vgg19",
)  # fmt: skip
SMALLEST = {"inceptionv3": 75, "inceptionresnetv2": 75}  # sides in pixels, by keras_applications; the others accept 32
PLAIN = "plain"
Architecture = Literal["unet", "linknet", "fpn", "pspnet"]
Precision = Literal["auto", "float32", "bfloat16"]
FRESH = "models/fresh"  # the folder without weights: what starts from it starts from random ones


def _within_the_repository(folder: str) -> str:
    if PurePath(folder).is_absolute():
        raise ValueError(
            f"it is {folder}, a path of this machine alone; copy the folder into the repository, for example to "
            "models/pretrained"
        )
    return folder


def _increasing(strengths: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in pairwise(strengths)):
        raise ValueError(f"is {list(strengths)}; each severity must be stronger than the one before it")
    return strengths


def _black_below_white(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] >= pair[1]:
        raise ValueError(f"is {list(pair)}; give the level that is black, then a greater one that is white")
    return pair


def _subject(name: object) -> str:
    usable = isinstance(name, str | int) and not isinstance(name, bool)
    if not usable:
        raise ValueError(f"a subject is {name!r} to YAML; put its name in quotes, for example '1.10'")
    return str(name)


class _AsTyped(yaml.SafeLoader):
    """Numbers, booleans and null in their usual spelling alone; all else is text, of which each key's type makes its value."""


_AsTyped.yaml_implicit_resolvers = {}
for _tag, _spelling, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9]\d*)", "-+0123456789"),
    (
        "float",
        r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _AsTyped.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_spelling})$"), list(_first))


Share = Annotated[float, Field(ge=0.0, le=1.0)]
Amount = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Decibels = Annotated[float, Field(ge=0.0, le=20.0)]
Side = Annotated[int, Field(ge=1, le=1024)]  # of the network's input
GreyLevel = Annotated[float, Field(ge=0.0, le=255.0)]
Positive = Annotated[float, Field(gt=0.0)]
LearningRate = Annotated[float, Field(gt=0.0, le=1.0)]
Strengths = Annotated[tuple[Positive, Positive, Positive, Positive, Positive], AfterValidator(_increasing)]
Level = Annotated[float, Field(allow_inf_nan=False)]
BlackWhite = Annotated[tuple[Level, Level], AfterValidator(_black_below_white)]
RelativeFolder = Annotated[str, Field(min_length=1), AfterValidator(_within_the_repository)]
Subject = Annotated[str, BeforeValidator(_subject)]
Threshold = Literal["expected"] | Annotated[float, Field(gt=0.0, lt=1.0)]
Label = Annotated[int, Field(ge=1, le=255)] | Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataParams(Section):
    dir: Annotated[str, Field(min_length=1)]
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
            raise ValueError(
                f"fold is {self.fold} and folds is {self.folds}; folds is 0 (off) or at least 2, fold below it"
            )
        if self.folds and self.test_subjects and self.val_subjects:
            raise ValueError(
                "folds, with test_subjects named, and val_subjects both choose the val subjects; set folds to 0 or "
                "val_subjects to []"
            )
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


class UNetParams(Section):
    architecture: Architecture
    encoder: str
    encoder_weights: Literal["imagenet"] | None
    init_from: RelativeFolder
    stem: Literal[1, 2, 4]
    base_filters: Annotated[int, Field(ge=2, le=256)]
    max_filters: Annotated[int, Field(ge=2, le=2048)]
    depth: Annotated[int, Field(ge=1, le=5)]
    precision: Precision
    epochs: Count
    batch_size: Count
    parts: Count
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)]
    warmup_share: Annotated[float, Field(ge=0.0, lt=1.0)]
    average_decay: Amount
    dice_weight: Annotated[float, Field(ge=0.0)]
    bce_weight: Annotated[float, Field(ge=0.0)]
    presence_weight: Annotated[float, Field(ge=0.0)]

    @model_validator(mode="after")
    def _something_to_train(self) -> Self:
        if self.dice_weight + self.bce_weight == 0.0:
            raise ValueError("dice_weight and bce_weight are both 0, which leaves no loss; raise one of them")
        if self.encoder not in (PLAIN, *ENCODERS):
            raise ValueError(f"encoder is {self.encoder!r}; it must be {PLAIN} or one of {', '.join(ENCODERS)}")
        if self.encoder == PLAIN and self.architecture != "unet":
            raise ValueError(
                f"architecture is {self.architecture}, but the plain encoder makes a unet only; "
                "choose an encoder such as resnet34"
            )
        if self.batch_size % self.parts:
            raise ValueError(
                f"batch_size is {self.batch_size} and parts is {self.parts}; a batch must split into equal parts"
            )
        if self.encoder == PLAIN and self.encoder_weights is not None:
            raise ValueError(
                f"encoder_weights is {self.encoder_weights!r}, but the plain encoder has no pretrained weights; "
                "set encoder_weights to null or choose an encoder such as resnet34"
            )
        return self

    @property
    def size_multiple(self) -> int:
        """Of which width and height of the network's input must be multiples."""
        if self.encoder == PLAIN:
            return self.stem * 2**self.depth
        return 48 if self.architecture == "pspnet" else 32


class DegradationParams(Section):
    speckle: Strengths
    noise: Strengths
    blur: Strengths
    low_gain: Strengths
    over_gain: Strengths
    shadow: Strengths
    downsampling: Strengths
    jpeg: Strengths

    @model_validator(mode="after")
    def _frames_get_smaller(self) -> Self:
        for key in ("downsampling", "jpeg"):
            if (least := getattr(self, key)[0]) < 1.0:
                raise ValueError(f"{key} begins with {least:g}; it says how many times smaller, at least 1")
        return self


class GanParams(Section):
    critic: Literal["patch", "features", "none"]
    epochs: Count
    batch_size: Count
    lr: LearningRate
    critic_lr: LearningRate
    base_filters: Annotated[int, Field(ge=2, le=256)]
    corruption: Share
    average_decay: Amount
    warmup_epochs: Annotated[int, Field(ge=0)]
    adversarial_weight: Annotated[float, Field(ge=0.0)]
    critic_rest: Annotated[float, Field(gt=0.0, le=1.0)]

    @model_validator(mode="after")
    def _the_critic_gets_its_turn(self) -> Self:
        if self.critic != "none" and self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs is {self.warmup_epochs} and epochs is {self.epochs}: the critic would never train; "
                "warmup_epochs must be below epochs, or critic none"
            )
        return self


class PostprocessParams(Section):
    thresholds: Annotated[tuple[Threshold, ...], Field(min_length=1)]
    min_areas: Annotated[tuple[Amount, ...], Field(min_length=1)]
    presences: Annotated[tuple[Amount, ...], Field(min_length=1)]
    score: Literal["challenge", "dice_nerve"]
    flip: bool


class ExportParams(Section):
    precision: Literal["int8", "float32"]
    max_difference: Annotated[float, Field(gt=0.0, le=0.1)]


class EvaluateParams(Section):
    ensemble: RelativeFolder
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...]
    bootstrap: Annotated[int, Field(ge=100, le=100_000)]

    @field_validator("severities")
    @classmethod
    def _with_the_one_that_is_reported(cls, severities: tuple[int, ...]) -> tuple[int, ...]:
        if 3 not in severities or len(set(severities)) < len(severities):
            raise ValueError(
                f"is {list(severities)}; it must name 3, which metrics.json and the report tell of, and each once"
            )
        return severities


class GateParams(Section):
    margin: Annotated[float, Field(ge=0.0, lt=1.0)]
    stratum_margin: Annotated[float, Field(ge=0.0, lt=1.0)]


class VisualizeParams(Section):
    cases: Annotated[int, Field(ge=1, le=24)]
    dpi: Annotated[int, Field(ge=50, le=600)]


class TrackingParams(Section):
    enabled: bool
    required: bool
    experiment: Annotated[str, Field(min_length=1)]
    model_name: Annotated[str, Field(min_length=1)]
    promote: bool


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
    gate: GateParams
    tracking: TrackingParams

    @model_validator(mode="after")
    def _the_input_can_be_halved(self) -> Self:
        for side in ("width", "height"):
            if (value := getattr(self.preprocess, side)) % self.unet.size_multiple:
                raise ValueError(
                    f"preprocess.{side} is {value}; the network of unet.encoder {self.unet.encoder}, architecture "
                    f"{self.unet.architecture}, stem {self.unet.stem}, depth {self.unet.depth} needs a multiple of "
                    f"{self.unet.size_multiple}"
                )
            if value < (least := SMALLEST.get(self.unet.encoder, 0)):
                raise ValueError(
                    f"preprocess.{side} is {value}; unet.encoder {self.unet.encoder} needs at least {least} pixels, so make it "
                    f"{-(-least // self.unet.size_multiple) * self.unet.size_multiple} or more, or choose another encoder"
                )
        return self


def load_params(path: Path | str = "params.yaml") -> Params:
    """Read and check every parameter.

    Raises:
        ParamsError: the file is missing or not YAML, or a key is unknown, missing or has an impossible value;
            the message has one line for each such key.
    """
    return checked_params(read_params(path), str(path))


def read_params(path: Path | str = "params.yaml") -> dict[str, Any]:
    """What the file says, not checked.

    Raises:
        ParamsError: it is missing, or no YAML mapping.
    """
    path = Path(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_AsTyped)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise ParamsError(
            f"{path} was not found; run from the repository's root, or restore it with `git checkout {path.name}`"
        ) from None
    except OSError as error:
        raise ParamsError(f"{path} cannot be read ({error.strerror}); check what it is and its permissions") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path} holds {type(content).__name__}, expected a mapping of sections to values")
    return content


def checked_params(content: Mapping[str, Any], source: str) -> Params:
    """The parameters in `content`, which came from `source`.

    Raises:
        ParamsError: a key is unknown, missing or has an impossible value.
    """
    try:
        return Params.model_validate(content)
    except ValidationError as invalid:
        lines = [f"{source}: {_explain(problem)}" for problem in invalid.errors()]
        raise ParamsError(*lines) from None


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _keys_beside(problem["loc"])
        near = get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"allowed here: {', '.join(known)}"
        return f"{key} is not a parameter; {hint}"
    if problem["type"] == "missing":
        return f"{key} is missing; add it (see the committed params.yaml)"
    if problem["type"] == "value_error":
        return f"{key + ': ' if key else ''}{problem['ctx']['error']}"
    return f"{key} is {problem['input']!r}; {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    model: Any = Params
    for part in location[:-1]:
        model = model.model_fields[part].annotation
    return sorted(model.model_fields)
