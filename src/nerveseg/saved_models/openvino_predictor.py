"""A trained model as it ships: compiled for the processor at hand by OpenVINO, without TensorFlow.

On disk it is a folder: `exported.json` beside the networks of each training behind the model, in OpenVINO's format: `unet.xml`
and, where a refiner ships, `refiner.xml` and `judge.xml`, which says whether a frame is poor; `files.json` lists them
(`checked_folder`). A refiner leaves a frame that
seems good to the U-Net, to the bit, so that frames which are judged poor alone are shown to it. `nerveseg.saved_models.openvino_export` writes it.
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
Maps = NDArray[np.float32]
# Of each network its inputs and its outputs: whether one is a map, (N, H, W, 1), or a number for each frame, (N, 1).
_PORTS: dict[str, tuple[dict[str, bool], dict[str, bool]]] = {
    UNET_FILE: ({"frames": True}, {LOGITS: True, PRESENCE: False}),
    JUDGE_FILE: ({"frames": True}, {POOR: False}),
    REFINER_FILE: (
        {"frames": True, "unet_logits": True, "unet_presence": False},
        {LOGITS: True, PRESENCE: False},
    ),
}
Source = Literal["gan", "ensemble"]  # keys of `metrics.json`
# One frame at a time is answered by all cores, as is a batch; float32 because bfloat16 would make other numbers elsewhere.
_COMPILED_FOR = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


@dataclass(frozen=True, config=STRICT)
class ExportedMember:
    """Of one training: whether the mirrored frame is looked at as well, and whether a refiner ships with its U-Net."""

    flip: bool
    refined: bool

    @property
    def networks(self) -> list[str]:
        return list(_PORTS) if self.refined else [UNET_FILE]


@dataclass(frozen=True, config=STRICT)
class ExportedConfig:
    """Input size in pixels, the cut-offs, the keys of the frames that it has learnt from (`leakage`), in which arithmetic it
    computes, the name in `metrics.json` of the trained model that it was made of, the trainings behind it, and black and white
    of files of its data set that do not say them.
    """

    height: Side
    width: Side
    cutoffs: Cutoffs
    learnt_frames: tuple[str, ...]
    precision: Literal["int8", "float32"]
    source: Source
    members: Annotated[tuple[ExportedMember, ...], Field(min_length=1)]
    grey_range: GreyRange

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            ModelError: it is not there, or cannot be read.
        """
        return _folder(directory).read(EXPORTED_NAME, cls)

    def write(self, directory: Path) -> None:
        """Complete a folder, in which the networks lie already."""
        write_typed(directory / EXPORTED_NAME, self)
        list_files(directory)


class ExportedPredictor(Predictor):
    """One training, or the mean of several, compiled; it may be asked by several threads at once."""

    def __init__(self, config: ExportedConfig, members: Sequence["Member"]) -> None:
        self.config = config
        super().__init__(
            _Mean(members),
            (config.height, config.width),
            config.cutoffs,
            frozenset(config.learnt_frames),
            config.grey_range,
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read and compile a folder that `export` wrote.

        Raises:
            ModelError: the folder holds no exported model, or a damaged one.
        """
        import openvino

        folder = _folder(directory)
        config = folder.read(EXPORTED_NAME, ExportedConfig)
        folder.files()
        listed = set(folder.matching("*.xml"))
        described = {
            member_folder(directory, number) / name
            for number, member in enumerate(config.members)
            for name in member.networks
        }
        if odd := sorted(str(path.relative_to(directory)) for path in listed ^ described):
            raise ModelError(
                f"{directory}: {LIST_NAME} and {EXPORTED_NAME} name different networks ({', '.join(odd)}); {folder.remedy}"
            )
        core = openvino.Core()
        size = (config.height, config.width)
        members = enumerate(config.members)
        return cls(config, [Member.load(core, member_folder(directory, n), each, size) for n, each in members])


def member_folder(directory: Path, number: int) -> Path:
    """Where the networks of one training lie in an exported model."""
    return directory / f"member_{number}"


class Member:
    """The networks of one training, compiled.

    Args:
        unet: gives `logits` (N, H, W, 1) and `presence` (N, 1), a logit too, of grey levels.
        refinement: the judge, which gives `poor`, the logit of a frame being a degraded one, (N, 1), and the refiner, which
            corrects logits and presence; or empty.
        flip: whether the mirrored frame is looked at as well.
    """

    def __init__(
        self,
        unet: "openvino.CompiledModel",
        refinement: "Sequence[openvino.CompiledModel]",
        *,
        flip: bool,
    ) -> None:
        self._unet, self._refinement, self._flip = unet, refinement, flip

    @classmethod
    def load(cls, core: "openvino.Core", directory: Path, config: ExportedMember, size: Size) -> Self:
        unet, *refinement = (_of_size(core, directory / name, size) for name in config.networks)
        return cls(unet, refinement, flip=config.flip)

    def __call__(self, levels: Maps) -> tuple[Maps, Maps]:
        """`probability` and `presence` of grey levels, as a predictor's network gives them."""
        looks = [self._look(levels)]
        if self._flip:
            mirrored, presence = self._look(np.ascontiguousarray(levels[:, :, ::-1]))
            looks.append((mirrored[:, :, ::-1], presence))
        return estimate_of(looks)

    def _look(self, levels: Maps) -> tuple[Maps, Maps]:
        """`logits` and `presence`, the logit of a nerve in the frame."""
        logits, presence = infer(self._unet, {"frames": levels}, [LOGITS, PRESENCE])
        if self._refinement:
            judge, refiner = self._refinement
            (judged,) = infer(judge, {"frames": levels}, [POOR])
            if (poor := _sigmoid(judged[:, 0]) >= LEAST_POOR).any():
                given = {"frames": levels[poor], "unet_logits": logits[poor], "unet_presence": presence[poor]}
                logits[poor], presence[poor] = infer(refiner, given, [LOGITS, PRESENCE])
        return logits, presence


def estimate_of(looks: Sequence[tuple[Maps, Maps]]) -> tuple[Maps, Maps]:
    """`probability` (N, H, W, 1) and `presence` (N, 1) of one or two looks at frames, each logits of these shapes: as
    `segmenter.estimates_of`.
    """
    probability, presence = (np.mean([_sigmoid(look[i]) for look in looks], axis=0) for i in range(2))
    return probability, np.sqrt(presence * probability.max((1, 2)))


class _Mean:
    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members

    def __call__(self, levels: Maps) -> Mapping[str, Maps]:
        said = [member(levels) for member in self._members]
        probability, presence = (np.mean([each[i] for each in said], axis=0) for i in range(2))
        return {"probability": probability, "presence": presence}


def compiled(core: "openvino.Core", network: "Path | openvino.Model") -> "openvino.CompiledModel":
    """A network, or the one in a file, for the processor at hand.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        return core.compile_model(network, "CPU", _COMPILED_FOR)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(f"{network} cannot be loaded ({reason}); make it again with `dvc repro export`") from None


def _of_size(core: "openvino.Core", path: Path, size: Size) -> "openvino.CompiledModel":
    """The network in a file.

    Raises:
        ModelError: it cannot be read, or takes or returns other arrays than `_PORTS` says for inputs of this size.
    """
    network = compiled(core, path)
    for ports, maps, verb in zip(
        (network.inputs, network.outputs), _PORTS[path.name], ("takes", "returns"), strict=True
    ):
        expected = {name: f"[?,{size[0]},{size[1]},1] f32" if is_map else "[?,1] f32" for name, is_map in maps.items()}
        names = [next((name for name in maps if name in port.names), min(port.names, key=len)) for port in ports]
        found = {
            name: f"{port.partial_shape} {port.element_type.to_string()}"
            for name, port in zip(names, ports, strict=True)
        }
        if found != expected:
            shown, wanted = (", ".join(map(" ".join, each.items())) for each in (found, expected))
            raise ModelError(
                f"{path} does not fit {EXPORTED_NAME}: it {verb} {shown}, expected {wanted}; make it again with `dvc repro export`"
            )
    return network


def infer(network: "openvino.CompiledModel", inputs: Mapping[str, Maps], outputs: Sequence[str]) -> list[Maps]:
    """Those outputs, in the order of their names; a network may have more names for one."""
    request = network.create_infer_request()  # one a call: a server asks from several threads
    request.infer(dict(inputs), share_inputs=True)
    return [request.get_tensor(name).data.copy() for name in outputs]


def _sigmoid(logits: Maps) -> Maps:
    """Without the warning that large logits would cost."""
    return np.float32(0.5) * (np.float32(1.0) + np.tanh(np.float32(0.5) * logits))


def _folder(directory: Path) -> CheckedFolder:
    return CheckedFolder(directory, ModelError, "make it again with `dvc repro export`")
