"""nerveseg's core without its extras: a process for which no other packages are installed, and a model that it predicts with."""

import os
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from itertools import chain
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as ops
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from nerveseg.imaging.grey_range import GreyRange
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.saved_models.openvino_predictor import ExportedConfig, ExportedMember
from paths import ROOT
from processes import attempt

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BRIGHT = 128  # brighter pixels are nerve to the model

HIDING = """
import sys
from importlib.machinery import PathFinder

class Core(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *context):
        return (each for each in super().find_distributions(*context) if each.name not in hidden)

hidden = set(sys.argv.pop(1).split(","))
sys.meta_path[sys.meta_path.index(PathFinder)] = Core
from nerveseg.cli import main
main()
"""


def brought_by(requirements):
    """The names of the packages that requirements bring, with those that they need in turn."""
    waiting, brought = [*map(Requirement, requirements)], set()
    while waiting:
        wanted = waiting.pop()
        for each in {(canonicalize_name(wanted.name), extra) for extra in ("", *wanted.extras)} - brought:
            brought.add(each)
            try:
                needed = map(Requirement, requires(each[0]) or [])
            except PackageNotFoundError:  # of another system, or of another Python
                continue
            waiting += [need for need in needed if need.marker is None or need.marker.evaluate({"extra": each[1]})]
    return {name for name, _ in brought}


def modules_of(requirements):
    names = brought_by(requirements)
    return {module for module, of in packages_distributions().items() if names.intersection(map(canonicalize_name, of))}


def core_alone(*arguments, code=ROOT / "src", **options):
    """Run `nerveseg ARGUMENTS` as where only the dependencies of the core are installed."""
    core = brought_by(PROJECT["dependencies"]) | {"nerveseg"}
    others = {
        module: of for module, of in packages_distributions().items() if core.isdisjoint(map(canonicalize_name, of))
    }
    hidden = ",".join({*others, *chain.from_iterable(others.values())})
    environment = {name: value for name, value in os.environ.items() if not re.match("NERVESEG|PYTHON", name)}
    environment |= {"PYTHONPATH": str(code)}
    return attempt(sys.executable, "-c", HIDING, hidden, *arguments, env=environment, **options)


def write_threshold_model(folder: Path, *, simulated_only=False) -> Path:
    """An exported model that outlines what is brighter than `BRIGHT`, for frames of 32x64 pixels."""
    frames = ops.parameter([-1, 32, 64, 1], name="frames")
    logits = ops.subtract(frames, ops.constant(BRIGHT, np.float32))
    presence = ops.reduce_max(logits, ops.constant([1, 2]), keep_dims=False)
    network = openvino.Model([logits, presence], [frames])
    for port, name in zip((*network.inputs, *network.outputs), ("frames", "logits", "presence"), strict=True):
        port.set_names({name})
    (folder / "member_0").mkdir(parents=True)
    openvino.save_model(network, folder / "member_0/unet.xml", compress_to_fp16=False)
    members = (ExportedMember(flip=False, refined=False),)
    ExportedConfig(32, 64, Cutoffs(presence=0.5), (), "float32", "gan", members, GreyRange(), simulated_only).write(
        folder
    )
    return folder
