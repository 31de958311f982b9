"""Whether the exported model scores as what was trained does."""

from collections.abc import Mapping

from nerveseg.errors import ModelError

HELD = ("dice", "dice_nerve")


def changes(exported: Mapping[str, float | None], trained: Mapping[str, float | None]) -> dict[str, float]:
    """By how much the scores `HELD` of the exported model are higher, as `dice_change`; without those that are not defined."""
    pairs = {key: (exported[key], trained[key]) for key in HELD}
    return {f"{key}_change": new - old for key, (new, old) in pairs.items() if new is not None and old is not None}


def check_changes(found: Mapping[str, float], allowed: float) -> None:
    """Make sure that what ships is what was trained.

    Raises:
        ModelError: a score changed by more than is allowed, in either direction.
    """
    if far := {key: change for key, change in found.items() if abs(change) > allowed}:
        told = ", ".join(f"{key} {change:+.4f}" for key, change in far.items())
        raise ModelError(
            f"on the test frames models/exported differs from what was trained by more than export.max_difference {allowed:g} "
            f"({told}); set export.precision to float32, or allow more, and type `dvc repro` again"
        )
