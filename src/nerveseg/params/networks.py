"""Sections on the networks: U-Net, degradations, refiner, cut-offs and export."""

from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nerveseg.params.fields import Amount, Count, LearningRate, RelativeFolder, Section, Share, Strengths, Threshold

PLAIN = "plain"
LITE = ("efficientnetlite0", "efficientnetlite1", "efficientnetlite2")
# Encoders of our own, and of what height and width must be multiples.
OURS: dict[str, "Callable[[UNetParams], int]"] = {PLAIN: lambda unet: unet.stem * 2**unet.depth}
OURS |= dict.fromkeys(LITE, lambda _: 32)
# Encoders of segmentation_models 1.0, whose import would take seconds of every stage, and the least height and width.
ENCODERS = dict.fromkeys((
    "densenet121", "densenet169", "densenet201", "efficientnetb0", "efficientnetb1", "efficientnetb2", "efficientnetb3",
    "efficientnetb4", "efficientnetb5", "efficientnetb6", "efficientnetb7", "inceptionresnetv2", "inceptionv3",
    "mobilenet", "mobilenetv2", "resnet101", "resnet152", "resnet18", "resnet34", "resnet50", "resnext101", "resnext50",
    "senet154", "seresnet101", "seresnet152", "seresnet18", "seresnet34", "seresnet50", "seresnext101", "seresnext50",
    "vgg16", "vgg19",
), 32) | {"inceptionv3": 75, "inceptionresnetv2": 75}  # fmt: skip
Architecture = Literal["unet", "linknet", "fpn", "pspnet"]
Precision = Literal["auto", "float32", "bfloat16"]
Filters = Annotated[int, Field(ge=2, le=256)]


class UNetParams(Section):
    architecture: Architecture
    encoder: str
    encoder_weights: Literal["imagenet"] | None
    init_from: RelativeFolder
    stem: Literal[1, 2, 4]
    base_filters: Filters
    max_filters: Annotated[int, Field(ge=2, le=2048)]
    depth: Annotated[int, Field(ge=1, le=5)]
    precision: Precision
    epochs: Count
    batch_size: Count
    ghost_batches: Count
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)]
    warmup_share: Annotated[float, Field(ge=0.0, lt=1.0)]
    ema_decay: Amount
    dice_weight: Annotated[float, Field(ge=0.0)]
    bce_weight: Annotated[float, Field(ge=0.0)]
    presence_weight: Annotated[float, Field(ge=0.0)]

    @model_validator(mode="after")
    def _something_to_train(self) -> Self:
        if self.dice_weight + self.bce_weight == 0.0:
            raise ValueError("dice_weight and bce_weight are both 0, which leaves no loss; raise one of them")
        if self.encoder not in OURS | ENCODERS:
            raise ValueError(f"encoder is {self.encoder!r}; it must be one of {', '.join(OURS | ENCODERS)}")
        if self.encoder in OURS and self.architecture != "unet":
            raise ValueError(
                f"architecture is {self.architecture}, but the {self.encoder} encoder makes a unet only; "
                "choose an encoder such as resnet34"
            )
        if self.batch_size % self.ghost_batches:
            raise ValueError(
                f"batch_size is {self.batch_size} and ghost_batches is {self.ghost_batches}; a batch must split into equal parts"
            )
        if self.encoder == PLAIN and self.encoder_weights is not None:
            raise ValueError(
                f"encoder_weights is {self.encoder_weights!r}, but the {self.encoder} encoder has no pretrained weights; "
                f"set encoder_weights to null or choose an encoder such as {LITE[0]}"
            )
        return self

    def check_side(self, key: str, pixels: int) -> None:
        """Raise ValueError if the network takes no input with a side, named `key`, of so many pixels."""
        least, of_theirs = ENCODERS.get(self.encoder, 0), 48 if self.architecture == "pspnet" else 32
        multiple = OURS[self.encoder](self) if self.encoder in OURS else of_theirs
        if pixels % multiple:
            raise ValueError(
                f"{key} is {pixels}; the network of unet.encoder {self.encoder}, architecture {self.architecture}, stem "
                f"{self.stem}, depth {self.depth} needs a multiple of {multiple}"
            )
        if pixels < least:
            raise ValueError(
                f"{key} is {pixels}; unet.encoder {self.encoder} needs at least {least} pixels, so make it "
                f"{-(-least // multiple) * multiple} or more, or choose another encoder"
            )


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
                raise ValueError(f"{key} begins with {least:g}; each strength divides the size and must be at least 1")
        return self


class GanParams(Section):
    critic: Literal["patch", "features", "none"]
    epochs: Count
    batch_size: Count
    lr: LearningRate
    critic_lr: LearningRate
    base_filters: Filters
    corruption: Share
    ema_decay: Amount
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
