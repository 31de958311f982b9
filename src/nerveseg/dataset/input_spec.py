"""What a network expects of a letterboxed frame."""

from pydantic.dataclasses import dataclass

from nerveseg.files.checked_folder import STRICT
from nerveseg.params.fields import GreyLevel, Positive, Side


@dataclass(frozen=True, config=STRICT)
class InputSpec:
    """Size in pixels, and mean and standard deviation of train's grey levels, 0..255, which normalise the input."""

    height: Side
    width: Side
    mean: GreyLevel
    std: Positive

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width
