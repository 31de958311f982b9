"""The rounds of train records of an arm of `bench/network_study.py`, with masks that come in part from teachers.

A teacher is a trained network, which predicts the variants of train frames at its own input size.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nerveseg.augmentation.rounds import round_of
from nerveseg.dataset.letterbox import Letterbox
from nerveseg.dataset.records import Record
from nerveseg.params.file import Params
from nerveseg.unet.network import LOGITS
from network_arms import Arm

FRAME = (184, 256)  # of `bp256`
Rounds = list[list[Record]]


def lessons(
    arm: Arm,
    params: Params,
    records: Sequence[Record],
    seed: int,
    minutes: float,
    teachers: Sequence[tf.keras.Model],
    train: Callable[[Arm, Sequence[Record], float], tf.keras.Model],
) -> tuple[Rounds, float]:
    """Return the rounds, which are empty if variants are made on the fly, and the minutes that are left.

    `train` trains a teacher of the arm's own, which takes half of the minutes; the time of predictions is not counted.
    """
    subjects = sorted({record.subject for record in records}, key=int)
    labelled = subjects[:: max(1, len(subjects) // arm.labelled)][: arm.labelled] if arm.labelled else subjects
    known = [record for record in records if record.subject in labelled]
    known = _with_shared_masks(known, arm.consensus) if arm.consensus else known
    if arm.on_the_fly:
        return [], minutes
    if arm.unlabelled:
        teacher = train(replace(arm, unlabelled=False), records, minutes / 2)
        others = [subject for subject in subjects if subject not in labelled]
        return [_taught(one, [teacher], 1.0, others) for one in _rounds(params, records, seed)], minutes / 2
    rounds = _rounds(params, known, seed)
    for part in range(arm.held_out):
        apart = labelled[part :: arm.held_out]
        rest = [record for record in known if record.subject not in apart]
        alone = replace(arm, held_out=0, labelled=0, taught=0.0)
        teacher = train(alone, rest, minutes / 2 / arm.held_out)
        rounds = [_taught(one, [teacher], arm.taught, apart) for one in rounds]
    if teachers:
        rounds = [_taught(one, teachers, arm.taught, labelled) for one in rounds]
    if teachers and arm.blended:
        rng = np.random.default_rng([seed, 0xB1E4D])
        rounds = [_blended(one, teachers, arm.blended, rng) for one in rounds]
    return rounds, minutes / 2 if arm.held_out else minutes


def _rounds(params: Params, records: Sequence[Record], seed: int) -> Rounds:
    augment = params.augment
    return [list(round_of(records, number, augment, seed)) for number in range(augment.variants + 1)]


def _taught(
    records: Sequence[Record], teachers: Sequence[tf.keras.Model], share: float, subjects: Sequence[str]
) -> list[Record]:
    """Return the records; those of the subjects with this share of the mask from the mean of the teachers' maps."""
    pupils = [record for record in records if record.subject in subjects]
    learnt = dict[int, Record]()
    for start in range(0, len(pupils), 16):
        batch = pupils[start : start + 16]
        mean = np.mean([_predicted(teacher, batch) for teacher in teachers], 0)
        for record, map_ in zip(batch, mean, strict=True):
            mask = np.rint((1.0 - share) * record.mask + 255.0 * share * map_).astype(np.uint8)
            learnt[id(record)] = replace(record, mask=mask)
    return [learnt.get(id(record), record) for record in records]


def _blended(
    records: Sequence[Record], teachers: Sequence[tf.keras.Model], share: float, rng: np.random.Generator
) -> list[Record]:
    """Return the records, this share of them averaged with a frame of another subject, with the teachers' map as the mask."""
    result = list(records)
    for place in np.flatnonzero(rng.random(len(records)) < share):
        others = [record for record in records if record.subject != records[place].subject]
        other, weight = others[rng.integers(len(others))], rng.uniform(0.3, 0.7)
        frame = np.rint(weight * records[place].frame + (1.0 - weight) * other.frame).astype(np.uint8)
        result[place] = replace(records[place], frame=frame, subject="blend")
    return _taught(result, teachers, 1.0, ["blend"])


def _predicted(teacher: tf.keras.Model, records: Sequence[Record]) -> NDArray[np.float32]:
    """Return the teacher's probabilities, (N, H, W), at the size of the records, which it sees at its own.

    Both sizes show the whole frame, letterboxed; the frames of the study are 256 pixels wide and 184 high.
    """
    own, theirs = (Letterbox.fit(FRAME, size) for size in (records[0].frame.shape, teacher.input_shape[1:3]))
    frames = np.stack([theirs.frame(_inside(record.frame, own)) for record in records])[..., np.newaxis]
    maps = teacher.predict_on_batch(frames.astype(np.float32))[LOGITS][..., 0]
    maps = 1.0 / (1.0 + np.exp(-maps))
    return np.stack([_outside(_inside(map_, theirs), own) for map_ in maps])


def _inside(pixels: NDArray[Any], fit: Letterbox) -> NDArray[Any]:
    return pixels[fit.top : fit.top + fit.scaled[0], fit.left : fit.left + fit.scaled[1]]


def _outside(inner: NDArray[np.float32], fit: Letterbox) -> NDArray[np.float32]:
    resized = cv2.resize(inner, fit.scaled[::-1], interpolation=cv2.INTER_AREA)
    below, right = fit.target[0] - fit.scaled[0] - fit.top, fit.target[1] - fit.scaled[1] - fit.left
    return cv2.copyMakeBorder(resized, fit.top, below, fit.left, right, cv2.BORDER_CONSTANT, value=0)


def _with_shared_masks(records: Sequence[Record], least: float) -> list[Record]:
    """Return the records; a mask is the mean over the subject's frames, weighted by how far their correlation exceeds `least`."""
    result = list(records)
    for subject in {record.subject for record in records}:
        own = [number for number, record in enumerate(records) if record.subject == subject]
        frames = np.stack([cv2.GaussianBlur(records[number].frame, (0, 0), 1.0).ravel() for number in own])
        weights = np.maximum(0.0, np.atleast_2d(np.corrcoef(frames)) - least)
        masks = np.stack([records[number].mask for number in own])
        shared = np.tensordot(weights / weights.sum(axis=1, keepdims=True), masks, 1)
        for number, mask in zip(own, shared, strict=True):
            result[number] = replace(records[number], mask=np.rint(mask).astype(np.uint8))
    return result
