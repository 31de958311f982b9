"""Outlines live frames, and drops some rather than fall behind.

A thread reads the source; of the frames that arrive while one is being segmented the newest alone is kept. What was made of it
goes to whoever looks on (`watch_page`).
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import cv2
import numpy as np

from nerveseg.file_prediction.prediction_files import overlay
from nerveseg.file_prediction.temporal_smoothing import live
from nerveseg.imaging.arrays import Frame
from nerveseg.inference.predictor import Predictor

QUALITY = 85  # of the JPEG pictures, of 100
CTRL_C_SEEN_WITHIN = 0.5  # seconds
RECENT = 100  # frames behind what is told of the speed


@dataclass(frozen=True)
class State:
    """What there is to tell of the frame that is shown, and of all so far: how many were shown and dropped, frames shown a second, and
    milliseconds from the arrival of a frame to its outline, of which the median of the last ones.
    """

    presence: float = 0.0
    confidence: float = 0.0
    area: int = 0
    shown: int = 0
    dropped: int = 0
    rate: float = 0.0
    delay: float = 0.0
    ended: bool = False


@dataclass
class _Newest:
    """The frame that waits, when it came, and how many it took the place of."""

    waiting: tuple[Frame, float] | None = None
    dropped: int = 0
    ended: bool = False
    error: BaseException | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, frame: Frame) -> None:
        with self.changed:
            self.dropped += self.waiting is not None
            self.waiting = frame, time.monotonic()
            self.changed.notify_all()

    def end(self, error: BaseException | None) -> None:
        with self.changed:
            self.ended, self.error = True, error
            self.changed.notify_all()

    def take(self) -> tuple[Frame, float] | None:
        """Waits for the next one; None where there will be no more."""
        with self.changed:
            # Python sees Ctrl-C between two waits; one that came as the last began would wait for a frame to be seen.
            while not self.changed.wait_for(lambda: self.waiting is not None or self.ended, CTRL_C_SEEN_WITHIN):
                pass
            taken, self.waiting = self.waiting, None
            return taken


class Watch:
    """Segments the newest frame of a source, over and over, until the source ends or `stop` is called."""

    def __init__(self, predictor: Predictor, frames: Iterator[Frame]) -> None:
        self._predict, self._frames = live(predictor), frames
        self._newest, self._stopped = _Newest(), False
        self._changed = threading.Condition()
        self._picture, self._state, self._number = b"", State(), 0
        self._times: deque[tuple[float, float]] = deque(maxlen=RECENT)

    def run(self) -> State:
        """What it came to.

        Raises:
            Exception: what the source raised while it was read.
        """
        threading.Thread(target=self._read, name="source", daemon=True).start()
        while not self._stopped and (taken := self._newest.take()) is not None:
            self._segment(*taken)
        with self._changed:
            self._state = State(**asdict(self._state) | {"ended": True, "dropped": self._newest.dropped})
            self._number += 1
            self._changed.notify_all()
        if self._newest.error is not None:
            raise self._newest.error
        return self._state

    def stop(self) -> None:
        self._stopped = True
        self._newest.end(None)

    def wait(self, number: int, seconds: float = 1.0) -> tuple[int, bytes, State]:
        """The number, the picture (JPEG) and the state of the frame that is shown, as soon as it is another than `number`."""
        with self._changed:
            self._changed.wait_for(lambda: self._number != number, seconds)
            return self._number, self._picture, self._state

    def _read(self) -> None:
        error = None
        try:
            for frame in self._frames:
                if self._stopped:
                    break
                self._newest.put(frame)
        except Exception as raised:  # noqa: BLE001 - `run` raises it
            error = raised
        self._newest.end(error)

    def _segment(self, frame: Frame, arrived: float) -> None:
        found = self._predict(frame, arrived)
        outlined = time.monotonic()
        _, encoded = cv2.imencode(".jpg", overlay(frame, found.mask), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        self._times.append((outlined, outlined - arrived))
        span = self._times[-1][0] - self._times[0][0]
        state = State(
            presence=found.presence,
            confidence=found.confidence,
            area=found.area,
            shown=self._state.shown + 1,
            dropped=self._newest.dropped,
            rate=(len(self._times) - 1) / span if span > 0 else 0.0,
            delay=1000.0 * float(np.median([delay for _, delay in self._times])),
        )
        with self._changed:
            self._picture, self._state = encoded.tobytes(), state
            self._number += 1
            self._changed.notify_all()
