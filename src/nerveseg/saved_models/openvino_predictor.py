"""A trained model as it ships: compiled for this processor by OpenVINO, without TensorFlow.

Its folder has `exported.json` beside the networks of each training, in OpenVINO's format: `unet.xml` and, with a refiner,
`refiner.xml` and `judge.xml`, which classifies frames as poor or not; `files.json` lists them (`checked_folder`). A refiner leaves
other frames exactly as they are, so only poor ones are passed to it. `nerveseg.saved_models.openvino_export` writes the folder.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from nerveseg.errors import ModelError
from nerveseg.files.checked_folder import LIST_NAME, STRICT, CheckedFolder, list_files, write_typed
from nerveseg.imaging.arrays import Size
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.inference.model_folder import EXPORTED_NAME
from nerveseg.inference.postprocessing import LEAST_POOR, Cutoffs
from nerveseg.inference.predictor import Predictor
from nerveseg.params.fields import Side

if TYPE_CHECKING:
    import openvino

UNET_FILE, JUDGE_FILE, REFINER_FILE = "unet.xml", "judge.xml", "refiner.xml"
LOGITS, PRESENCE, POOR = "logits", "presence", "poor"
# Inputs and outputs of each network: True for a map, (N, H, W, 1), False for a number for each frame, (N, 1).
_PORTS: dict[str, tuple[dict[str, bool], dict[str, bool]]] = {
    UNET_FILE: ({"frames": True}, {LOGITS: True, PRESENCE: False}),
    JUDGE_FILE: ({"frames": True}, {POOR: False}),
    REFINER_FILE: ({"frames": True, "unet_logits": True, "unet_presence": False}, {LOGITS: True, PRESENCE: False}),
}
Maps = NDArray[np.float32]
Source = Literal["gan", "ensemble"]  # keys of `metrics.json`
# All cores answer together, for one frame as for a batch; float32, since bfloat16 would give other numbers on other processors.
_COMPILED_FOR = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
_REMEDY = "make it again with `dvc repro export`"


@dataclass(frozen=True, config=STRICT)
class ExportedMember:
    """One training: whether the mirrored frame is segmented as well, and whether a refiner ships with its U-Net."""

    flip: bool
    refined: bool

    @property
    def networks(self) -> list[str]:
        return list(_PORTS) if self.refined else [UNET_FILE]


@dataclass(frozen=True, config=STRICT)
class ExportedConfig:
    height: Side  # of the input, in pixels
    width: Side
    cutoffs: Cutoffs
    learnt_frames: tuple[str, ...]  # keys of the frames that it has learnt from (`leakage`)
    precision: Literal["int8", "float32"]
    source: Source  # the trained model that it was made of
    members: Annotated[tuple[ExportedMember, ...], Field(min_length=1)]  # the trainings behind it
    grey_range: GreyRange  # black and white of files that do not say them
    simulated_only: bool  # whether all frames that it has learnt from are known to be simulated

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read what `write` wrote; ModelError if it is missing or cannot be read."""
        return _folder(directory).read(EXPORTED_NAME, cls)

    def write(self, directory: Path) -> None:
        """Complete a folder that holds the networks already."""
        write_typed(directory / EXPORTED_NAME, self)
        list_files(directory)


class ExportedPredictor(Predictor):
    """One compiled training, or the mean of several; threads may share it."""

    def __init__(self, config: ExportedConfig, members: Sequence["Member"]) -> None:
        self.config = config

        def mean(levels: Maps) -> Mapping[str, Maps]:
            outputs = zip(*(member(levels) for member in members), strict=True)
            return dict(zip(("probability", "presence"), (np.mean(each, axis=0) for each in outputs), strict=True))

        size = (config.height, config.width)
        learnt = frozenset(config.learnt_frames)
        super().__init__(mean, size, config.cutoffs, learnt, config.grey_range, simulated_only=config.simulated_only)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read and compile a folder that `export` wrote; ModelError if one is missing, damaged or does not fit."""
        import openvino

        folder = _folder(directory)
        config = folder.read(EXPORTED_NAME, ExportedConfig)
        folder.files()
        listed = set(folder.matching("*.xml"))
        folders = {member_folder(directory, number): member for number, member in enumerate(config.members)}
        described = {path / name for path, member in folders.items() for name in member.networks}
        if odd := sorted(str(path.relative_to(directory)) for path in listed ^ described):
            raise ModelError(f"{directory}: {LIST_NAME} and {EXPORTED_NAME} differ ({', '.join(odd)}); {_REMEDY}")
        core, size = openvino.Core(), (config.height, config.width)
        members = []
        for path, member in folders.items():
            unet, *refinement = (_of_size(core, path / name, size) for name in member.networks)
            members.append(Member(unet, refinement, flip=member.flip))
        return cls(config, members)


def member_folder(directory: Path, number: int) -> Path:
    """Return the folder of one training's networks in an exported model."""
    return directory / f"member_{number}"


class Member:
    """The compiled U-Net of a training and, in `refinement`, its judge and refiner; `flip` adds the mirrored frame."""

    def __init__(
        self, unet: "openvino.CompiledModel", refinement: "Sequence[openvino.CompiledModel]", *, flip: bool
    ) -> None:
        self._unet, self._refinement, self._flip = unet, refinement, flip

    def __call__(self, levels: Maps) -> tuple[Maps, Maps]:
        """Return `probability` and `presence` of grey levels, as a predictor's network does."""
        looks = [self._look(levels)]
        if self._flip:
            mirrored, presence = self._look(np.ascontiguousarray(levels[:, :, ::-1]))
            looks.append((mirrored[:, :, ::-1], presence))
        return estimate_of(looks)

    def _look(self, levels: Maps) -> tuple[Maps, Maps]:
        """Return `logits` and `presence`, the logit of a nerve in the frame."""
        logits, presence = infer(self._unet, {"frames": levels}, [LOGITS, PRESENCE])
        if self._refinement:
            judge, refiner = self._refinement
            (judged,) = infer(judge, {"frames": levels}, [POOR])
            if (poor := _sigmoid(judged[:, 0]) >= LEAST_POOR).any():
                given = {"frames": levels[poor], "unet_logits": logits[poor], "unet_presence": presence[poor]}
                logits[poor], presence[poor] = infer(refiner, given, [LOGITS, PRESENCE])
        return logits, presence


def estimate_of(looks: Sequence[tuple[Maps, Maps]]) -> tuple[Maps, Maps]:
    """Return `probability` (N, H, W, 1) and `presence` (N, 1) from the logits of one or two looks, as `segmenter.estimates_of`."""
    probability, presence = (np.mean([_sigmoid(look[i]) for look in looks], axis=0) for i in range(2))
    return probability, np.sqrt(presence * probability.max((1, 2)))


def compiled(core: "openvino.Core", network: "Path | openvino.Model") -> "openvino.CompiledModel":
    """Compile a network, or the one in a file; ModelError if it is damaged, or has weights of NaN, which ReLU hides."""
    try:
        model = core.read_model(network) if isinstance(network, Path) else network
        if not any(op.get_type_name() == "Constant" and np.isnan(op.data).any() for op in model.get_ops()):
            return core.compile_model(model, "CPU", _COMPILED_FOR)
        name = network if isinstance(network, Path) else "the exported network"
        raise ModelError(f"{name} cannot be loaded (some of its weights are NaN); train the model again")
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(f"{network} cannot be loaded ({reason}); {_REMEDY}") from None


def _of_size(core: "openvino.Core", path: Path, size: Size) -> "openvino.CompiledModel":
    """Compile the network in a file; ModelError if it is damaged, or its ports are not `_PORTS` for this frame size."""
    network = compiled(core, path)
    there = (network.inputs, network.outputs)
    for ports, maps, verb in zip(there, _PORTS[path.name], ("takes", "returns"), strict=True):
        expected = {name: f"[?,{size[0]},{size[1]},1] f32" if is_map else "[?,1] f32" for name, is_map in maps.items()}
        names = [next((name for name in maps if name in port.names), min(port.names, key=len)) for port in ports]
        shapes = [f"{port.partial_shape} {port.element_type.to_string()}" for port in ports]
        if (found := dict(zip(names, shapes, strict=True))) != expected:
            shown, wanted = (", ".join(map(" ".join, each.items())) for each in (found, expected))
            raise ModelError(
                f"{path} does not fit {EXPORTED_NAME}: it {verb} {shown or 'nothing'}, expected {wanted}; {_REMEDY}"
            )
    return network


def infer(network: "openvino.CompiledModel", inputs: Mapping[str, Maps], outputs: Sequence[str]) -> list[Maps]:
    """Return the outputs with these names, in their order; a network may have several names for one."""
    request = network.create_infer_request()  # one for each call: a server calls from several threads
    request.infer(dict(inputs), share_inputs=True)
    return [request.get_tensor(name).data.copy() for name in outputs]


def _sigmoid(logits: Maps) -> Maps:
    """Compute the logistic function without the warning that large logits would cause."""
    return np.float32(0.5) * (np.float32(1.0) + np.tanh(np.float32(0.5) * logits))


def _folder(directory: Path) -> CheckedFolder:
    return CheckedFolder(directory, ModelError, _REMEDY)
