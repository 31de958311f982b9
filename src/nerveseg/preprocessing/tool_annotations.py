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
    found = defaultdict[PurePath, list[Annotation]](list)
    for item in [item for item in refused if PurePath(item.file).suffix.lower() in ANNOTATION_SUFFIXES]:
        path = PurePath(item.file)
        if item != no_image(path):
            continue
        try:
            annotations = read_annotations(directory / path)
        except BadFileError as error:
            refused[refused.index(item)] = Refused(path, error.reason, error.remedy)
            continue
        if annotations:
            refused.remove(item)
        for annotation in annotations:
            alike = _meant(path, annotation, by_name)
            if len(alike) == 1:
                found[alike[0]].append(annotation)
            else:
                called = f"several images may be its {names(annotation.image)}: {some(list(map(names, alike)), 3)}"
                reason = called if alike else f"its image {names(annotation.image)} is missing"
                refused.append(Refused(path, reason, "give each image a name of its own" if alike else _ADD))
    return found


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
