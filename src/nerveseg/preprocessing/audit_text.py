"""The audit as `nerveseg check` prints it: text for people, JSON for programs."""

from collections import Counter
from typing import Any

import pandas as pd

from nerveseg.preprocessing.audit import Inventory
from nerveseg.preprocessing.layouts import natural_key
from nerveseg.preprocessing.listing import Refused
from nerveseg.text.foreign_text import on_one_line
from nerveseg.text.wording import counted, some

SHOWN = 20  # files of each kind, and subjects, in the text; JSON has all
SIZES_SHOWN = 5  # the most frequent ones


def summary(inventory: Inventory, verdict: str) -> dict[str, Any]:
    """Return everything that was found, in plain types."""
    manifest = inventory.manifest
    return {
        "directory": str(inventory.reading.directory),
        "layout": inventory.layout.name,
        "frames": len(manifest),
        "frames_with_nerve": int(manifest["has_nerve"].sum()),
        "prevalence": float(manifest["has_nerve"].mean()) if len(manifest) else None,
        "nerve_area": _area(manifest),
        "sizes": {f"{width}x{height}": int(count) for (height, width), count in _sizes(manifest)},
        "subjects": _subjects(manifest).reset_index(names="subject").to_dict("records"),
        "quarantined": [_plain(item) for item in inventory.bad],
        "foreign": [_plain(item) for item in inventory.quarantined if item.foreign],
        "remarks": inventory.remarks.to_dict("records"),
        "conflicts": inventory.conflicts.to_dict("records"),
        "warnings": inventory.warnings,
        "errors": [inventory.unclear] * bool(inventory.unclear),
        "verdict": verdict,
    }


def text(inventory: Inventory, verdict: str) -> str:
    """Return the same for a terminal."""
    manifest = inventory.manifest
    lines = [str(inventory)]
    if len(manifest):
        lines += _subject_lines(_subjects(manifest), set(manifest["frame"]))
        area = _area(manifest)
        covers = "" if area is None else f"; where they do, it covers {area:.1%} of the frame (median)"
        shown = "hold a mark" if inventory.unclear else f"show a nerve{covers}"
        lines.append(f"{manifest['has_nerve'].mean():.0%} of the frames {shown}")
        sizes = [f"{width}x{height} ({count:,})" for (height, width), count in _sizes(manifest)]
        lines.append(f"{'size' if len(sizes) == 1 else f'{len(sizes):,} sizes'}: {some(sizes, SIZES_SHOWN)}")
    remarks = Counter(inventory.remarks["remark"].str.replace(r" as \S+$", " as another frame", regex=True))
    lines += [f"{counted(count, 'frame')}: {on_one_line(remark)}" for remark, count in remarks.most_common()]
    lines += [f"warning: {on_one_line(warning)}" for warning in inventory.warnings]
    lines += [f"error: {on_one_line(inventory.unclear)}"] * bool(inventory.unclear)
    if inventory.manifest.empty and not inventory.bad:
        lines.append("no frame; expected S_N.tif and S_N_mask.tif, x.png and x_mask.png, images/ and masks/, or DICOM")
    lines += _files("cannot be used", inventory.bad)
    if foreign := [item for item in inventory.quarantined if item.foreign]:
        lines += _files("left out as neither frame nor mask", foreign)
    if inventory.quarantined and inventory.layout.names.salt:
        lines.append("names are digests: DICOM paths may name patients; `nerveseg check --clear-names` shows them")
    return "\n".join([*lines, on_one_line(verdict)])


def _subject_lines(subjects: pd.DataFrame, frames: set[str]) -> list[str]:
    """Return a row for each of the subjects with most frames, without frames of no known subject."""
    known = subjects[~subjects.index.isin(frames)]
    if known.empty:
        return []
    most = known.sort_values("frames", ascending=False, kind="stable").head(SHOWN) if len(known) > SHOWN else known
    most = most.loc[sorted(most.index, key=natural_key)]
    shown = most.assign(prevalence=most["prevalence"].map("{:.0%}".format))
    lines = ["", shown.rename(columns={"with_nerve": "with nerve"}).to_string()]
    if len(known) > SHOWN:
        least, middle, most_frames = known["frames"].quantile([0.0, 0.5, 1.0])
        lines.append(
            f"and {counted(len(known) - SHOWN, 'subject')} more; frames of a subject: {least:,g} to {most_frames:,g}, "
            f"median {middle:,g}; `nerveseg check --json` names all"
        )
    return [*lines, ""]


def _files(what: str, items: list[Refused]) -> list[str]:
    lines = [f"{counted(len(items), 'file')} {what}"]
    lines += [f"  {on_one_line(f'{item.file}: {item.reason}; {item.remedy}')}" for item in items[:SHOWN]]
    if len(items) > SHOWN:
        lines.append(f"  ... and {len(items) - SHOWN:,} more: `nerveseg check --json` names all")
    return lines


def _subjects(manifest: pd.DataFrame) -> pd.DataFrame:
    groups = manifest.groupby("subject")["has_nerve"]
    found = pd.DataFrame({"frames": groups.size(), "with_nerve": groups.sum(), "prevalence": groups.mean()})
    return found.loc[sorted(found.index, key=natural_key)]


def _sizes(manifest: pd.DataFrame) -> list[tuple[tuple[int, int], int]]:
    return Counter(zip(manifest["height"].tolist(), manifest["width"].tolist(), strict=True)).most_common()


def _area(manifest: pd.DataFrame) -> float | None:
    """Return the median share of the frame that the nerve covers, over frames that show it."""
    with_nerve = manifest[manifest["has_nerve"].astype(bool)]
    shares = with_nerve["mask_area"] / (with_nerve["height"] * with_nerve["width"])
    return float(shares.median()) if len(shares) else None


def _plain(item: Refused) -> dict[str, str]:
    return {"file": str(item.file), "reason": item.reason, "remedy": item.remedy}
