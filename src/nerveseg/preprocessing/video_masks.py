"""Which single frames of a video have a mask: a file called as `nerveseg predict` calls it, or an annotation of CVAT."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePath

from nerveseg.annotation_files.shapes import Annotation

ADD_MASKS = (
    "nothing, or, to train on it, add masks called as `nerveseg predict` calls them (x_7_mask.png is of frame 7 of x.mp4), "
    "x_mask.tif or x_mask.nii.gz with a mask for each frame, or CVAT's XML"
)


def masks_of_videos(
    directory: Path,
    keys: Mapping[PurePath, str],
    masks: dict[str, list[PurePath]],
    frames: Collection[str],
    annotated: Mapping[PurePath, list[Annotation]],
) -> dict[PurePath, dict[int, Path | Annotation]]:
    """Return the masks of each video that has any, by the numbers of its frames, from 1. Masks that are found leave `masks`.

    `keys` are the videos and what they share with their masks; `masks` and `frames` are those of images, by such keys.
    """
    found: dict[PurePath, dict[int, Path | Annotation]] = {}
    alone = {key for key, files in masks.items() if key not in frames and len(files) == 1}
    for video, key in keys.items():
        of_frames: dict[int, Path | Annotation] = {one.frame: one for one in annotated.get(video, []) if one.frame}
        for mask in sorted(alone):
            match = re.fullmatch(re.escape(key) + r"_(\d+)", mask)
            if match and int(match[1]) not in of_frames:
                of_frames[int(match[1])] = directory / masks.pop(mask)[0]
                alone.remove(mask)
        if of_frames:
            found[video] = dict(sorted(of_frames.items()))
    return found


def file_of(mask: Path | Annotation) -> Path:
    return mask.file if isinstance(mask, Annotation) else mask
