"""The files of annotation tools in a data set's folder, and which image each of their annotations is of."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePath

from nerveseg.annotation_files.reading import ANNOTATION_SUFFIXES, read_annotations
from nerveseg.annotation_files.shapes import Annotation
from nerveseg.errors import BadFileError
from nerveseg.preprocessing.listing import Names, Refused, no_image, stem_of
from nerveseg.text.wording import some

_ADD = "put the image where the file says, or remove it from the file"


def annotations_in(
    directory: Path, images: Iterable[PurePath], refused: list[Refused], names: Names
) -> dict[PurePath, list[Annotation]]:
    """Return what files say of each of the images, which are paths below `directory`.

    Such files leave `refused`, where they were since they are no images. Damaged ones, and images that are not there, are added.
    """
    by_name = defaultdict[str, list[PurePath]](list)
    for image in images:
        by_name[image.name].append(image)
        by_name[stem_of(image)].append(image)
    found = defaultdict[PurePath, dict[tuple[Path, int | None], Annotation]](dict)
    others, faults = list[Refused](), dict[Refused, None]()  # a video may be missing once for each of its frames
    for item in refused:
        path = PurePath(item.file)
        try:
            may_be = path.suffix.lower() in ANNOTATION_SUFFIXES and item == no_image(path)
            annotations = read_annotations(directory / path) if may_be else []
        except BadFileError as error:
            faults[Refused(path, error.reason, error.remedy)] = None
            continue
        if not annotations:
            others.append(item)
        for annotation in annotations:
            fault = _add(found, annotation, _meant(path, annotation, by_name), names)
            if fault:
                faults[Refused(path, *fault)] = None
    refused[:] = [*others, *faults]
    return {image: [*of.values()] for image, of in found.items()}


def _add(
    found: dict[PurePath, dict[tuple[Path, int | None], Annotation]],
    annotation: Annotation,
    meant: list[PurePath],
    names: Names,
) -> tuple[str, str] | None:
    """Add an annotation of the image that it may be of; else return why not, and what its owner can do."""
    called = names(annotation.image)
    if len(meant) > 1:
        which = some(list(map(names, meant)), 3)
        return f"several images may be its {called}: {which}", "give each image a name of its own"
    if not meant:
        return f"its image {called} is missing", _ADD
    (image,) = meant
    if annotation.frame and any(frame == annotation.frame for _, frame in found[image]):
        return f"frame {annotation.frame} of {called} is annotated twice", "keep one of the annotations"
    if (annotation.file, annotation.frame) in found[image]:
        return f"it lists {called} twice", "keep one of the entries"
    found[image][annotation.file, annotation.frame] = annotation
    return None


def _meant(path: PurePath, annotation: Annotation, by_name: dict[str, list[PurePath]]) -> list[PurePath]:
    """Return the images that an annotation may be of: those whose paths end most like the one that it says.

    A file of one image may lie beside it under the same name, also where both were renamed.
    """
    said = PurePath(annotation.image)
    candidates = by_name.get(said.name, [])
    if not candidates and annotation.own_file:
        candidates = [image for image in by_name.get(path.stem, []) if image.parent == path.parent]
    beside = [image for image in candidates if image == path.parent / said]
    alike = {image: _same_end(image, path.parent / said) for image in candidates}
    return beside or [image for image, length in alike.items() if length == max(alike.values())]


def _same_end(one: PurePath, other: PurePath) -> int:
    """Return how many last parts of two paths are equal."""
    same = 0
    for a, b in zip(reversed(one.parts), reversed(other.parts), strict=False):
        if a != b:
            break
        same += 1
    return same
