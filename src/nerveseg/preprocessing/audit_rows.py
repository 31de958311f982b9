"""What an audit collects while the frames of a data set pass by."""

from dataclasses import dataclass, field

from nerveseg.imaging.dicom import Patient
from nerveseg.imaging.mask_values import ValuesInUse
from nerveseg.preprocessing.worker import Prepared


@dataclass
class Rows:
    """A row for each frame, in their order."""

    manifest: list[dict[str, object]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    levels: list[tuple[int, int]] = field(default_factory=list)
    pixels: list[str] = field(default_factory=list)
    sketches: list[bytes] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    sources: list[str] = field(default_factory=list)
    files: list[tuple[str, ...]] = field(default_factory=list)
    mask_values: ValuesInUse = field(default_factory=ValuesInUse)
    patients: list[Patient | None] = field(default_factory=list)
    unknown: int = 0

    def add(self, item: Prepared, subject: str | None) -> str:
        """Take in one frame, and say whose it is."""
        whose = item.name if subject is None else subject
        height, width = item.size
        self.manifest.append(
            {"frame": item.name, "subject": whose, "split": "", "height": height, "width": width,
             "has_nerve": item.mask_area > 0, "mask_area": item.mask_area, "digest": item.digest, "pixels": item.pixels,
             "look": item.look}
        )  # fmt: skip
        self.remarks += [(item.name, item.remark)] * bool(item.remark)
        self.levels.append(item.levels)
        self.pixels.append(item.pixels)
        self.sketches.append(item.sketch)
        self.keys |= {item.key, item.source}
        self.sources.append(item.source)
        self.patients.append(item.patient)
        self.files.append(item.files)
        self.mask_values.add(item.areas)
        self.unknown += subject is None
        return whose
