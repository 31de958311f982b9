"""The account of a data set as `nerveseg check` tells it: to a person as text, to a machine as JSON."""

from collections import Counter
from typing import Any

import pandas as pd

from nerveseg.data.inventory import Inventory
from nerveseg.data.layouts import Quarantined, natural_key

SHOWN = 20  # files of each kind that the text names; JSON names all


def summary(inventory: Inventory) -> dict[str, Any]:
    """Everything that was found, in plain types."""
    manifest = inventory.manifest
    return {
        "directory": str(inventory.reading.directory),
        "layout": inventory.layout.name,
        "frames": len(manifest),
        "frames_with_nerve": int(manifest["has_nerve"].sum()),
        "sizes": {f"{width}x{height}": int(count) for (height, width), count in _sizes(manifest)},
        "subjects": _subjects(manifest).reset_index(names="subject").to_dict("records"),
        "quarantined": [_plain(item) for item in inventory.quarantined if not item.foreign],
        "foreign": [_plain(item) for item in inventory.quarantined if item.foreign],
        "remarks": inventory.remarks.to_dict("records"),
        "conflicts": inventory.conflicts.to_dict("records"),
        "warnings": inventory.warnings,
    }


def text(inventory: Inventory) -> str:
    """The same for a terminal."""
    manifest = inventory.manifest
    lines = [str(inventory)]
    if len(manifest):
        subjects = _subjects(manifest)
        shown = subjects.assign(prevalence=subjects["prevalence"].map("{:.0%}".format))
        lines += ["", shown.rename(columns={"with_nerve": "with nerve"}).to_string(), ""]
        lines.append(
            f"{manifest['has_nerve'].mean():.0%} of the frames show a nerve; where they do, it covers {_area(manifest)}"
        )
        lines.append(
            "sizes: " + ", ".join(f"{width}x{height} ({count:,})" for (height, width), count in _sizes(manifest))
        )
    remarks = Counter(inventory.remarks["remark"].str.replace(r" as \S+$", " as another frame", regex=True))
    lines += [f"{count:,} frames: {remark}" for remark, count in remarks.most_common()]
    lines += [f"warning: {warning}" for warning in inventory.warnings]
    bad, foreign = inventory.bad, len(inventory.quarantined) - len(inventory.bad)
    lines.append(f"{len(bad):,} files cannot be used" + (f", {foreign:,} are no frames or masks" if foreign else ""))
    lines += [f"  {item.file}: {item.reason}; {item.remedy}" for item in bad[:SHOWN]]
    if len(bad) > SHOWN:
        lines.append(f"  ... and {len(bad) - SHOWN:,} more: `nerveseg check --json` names all")
    return "\n".join(lines)


def _subjects(manifest: pd.DataFrame) -> pd.DataFrame:
    groups = manifest.groupby("subject")["has_nerve"]
    found = pd.DataFrame({"frames": groups.size(), "with_nerve": groups.sum(), "prevalence": groups.mean()})
    return found.loc[sorted(found.index, key=natural_key)]


def _sizes(manifest: pd.DataFrame) -> list[tuple[tuple[int, int], int]]:
    return Counter(zip(manifest["height"].tolist(), manifest["width"].tolist(), strict=True)).most_common()


def _area(manifest: pd.DataFrame) -> str:
    with_nerve = manifest[manifest["has_nerve"]]
    shares = with_nerve["mask_area"] / (with_nerve["height"] * with_nerve["width"])
    return f"{shares.median():.1%} of the frame (median)" if len(shares) else "nothing"


def _plain(item: Quarantined) -> dict[str, str]:
    return {"file": item.file, "reason": item.reason, "remedy": item.remedy}
