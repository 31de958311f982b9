"""Several trainings as one predictor: the mean of their outputs.

Its folder has `ensemble.json`, the names of the members in their order, and `members/NAME` for each, as it was saved; `files.json`
lists both (`checked_folder`). No frame is left that no member has learnt from, so cut-offs are not searched again: they are the
medians of the members' own.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Annotated, Self

import tensorflow as tf
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from nerveseg.errors import ModelError
from nerveseg.files.checked_folder import STRICT, CheckedFolder, list_files, write_typed
from nerveseg.inference.model_folder import ENSEMBLE_NAME
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.inference.predictor import Predictor
from nerveseg.refinement.refined_segmenter import RefinedSegmenter, load_training
from nerveseg.unet.segmenter import Segmenter

MEMBERS = "members"


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a member stands more than once")
    return names


Name = Annotated[str, Field(pattern=r"^[^/\\]*[^/\\.][^/\\]*$")]


@dataclass(frozen=True, config=STRICT)
class EnsembleConfig:
    """The names of the members, in their order; each is a folder in `members`."""

    members: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_distinct)]


class Ensemble(Predictor):
    """The mean of the outputs of its members, at least one; ModelError if their input sizes or grey ranges differ."""

    def __init__(self, members: Mapping[str, Segmenter | RefinedSegmenter]) -> None:
        self.members = dict(members)
        size, *others = {member.size for member in members.values()}
        if others:
            sizes = ", ".join(f"{name} of {' x '.join(map(str, member.size))}" for name, member in members.items())
            raise ModelError(
                f"an ensemble needs members of one input size, but there are {sizes} (height x width in pixels); "
                "name experiments with one preprocess section"
            )
        grey_range, *other_ranges = {member.grey_range for member in members.values()}
        if other_ranges:
            raise ModelError(
                "the members of an ensemble must read files with the same black and white, but their data sets differ in that "
                "(`data.grey_range`, or what was decided from the files); name experiments on one data set"
            )
        frames = tf.keras.Input((*size, 1), name="frames")
        # Keras's own names may be equal: they count from 0 in each session.
        networks = [
            tf.keras.Model(member.network.input, member.network.output, name=f"member_{number}")
            for number, member in enumerate(members.values())
        ]
        said = [network(frames) for network in networks]
        means = {key: tf.reduce_mean(tf.stack([each[key] for each in said]), 0) for key in ("probability", "presence")}
        cutoffs = median_cutoffs([member.cutoffs for member in members.values()])
        learnt = frozenset().union(*(member.learnt_frames for member in members.values()))
        self.network = tf.keras.Model(frames, means)
        run = tf.function(self.network, reduce_retracing=True)
        simulated_only = all(member.simulated_only for member in members.values())
        super().__init__(run, size, cutoffs, learnt, grey_range, simulated_only=simulated_only)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a folder that `save` wrote; ModelError if it holds no ensemble, or a member cannot be loaded."""
        folder = CheckedFolder(directory, ModelError, "make it again with `nerveseg folds`")
        names = folder.read(ENSEMBLE_NAME, EnsembleConfig).members
        folder.files()
        return cls({name: load_training(directory / MEMBERS / name) for name in names})

    def save(self, directory: Path) -> None:
        for name, member in self.members.items():
            folder = directory / MEMBERS / name
            folder.mkdir(parents=True)
            member.save(folder)
        write_typed(directory / ENSEMBLE_NAME, EnsembleConfig(tuple(self.members)))
        list_files(directory)


def median_cutoffs(cutoffs: list[Cutoffs]) -> Cutoffs:
    """Return the median of each cut-off; the threshold is `expected` if that of most is."""
    numbers = [each.threshold for each in cutoffs if each.threshold != "expected"]
    return Cutoffs(
        threshold=median(numbers) if 2 * len(numbers) >= len(cutoffs) else "expected",
        min_area=median(each.min_area for each in cutoffs),
        presence=median(each.presence for each in cutoffs),
    )
