"""Outlines live frames for `page`. A thread reads the source, and of the frames that wait, only the newest is kept."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from nerveseg.file_prediction.overlays import overlay
from nerveseg.file_prediction.temporal_smoothing import live
from nerveseg.imaging.arrays import Frame
from nerveseg.inference.predictor import SIMULATED_ONLY, Predictor

QUALITY = 85  # of the JPEG pictures, of 100
CTRL_C_SEEN_WITHIN = 0.5  # seconds
RECENT = 100  # frames that `rate` and `delay` are measured over


@dataclass(frozen=True)
class State:
    presence: float = 0.0  # of the frame on show, as the next three
    confidence: float = 0.0
    area: int = 0  # of its mask, in pixels
    made: float = 0.0  # when it arrived or, if it was there before, was written, by time.monotonic
    shown: int = 0  # frames so far
    dropped: int = 0
    rate: float = 0.0  # frames shown a second
    delay: float = 0.0  # median of the last milliseconds from the arrival of a frame to its outline
    ended: bool = False


class _Arrived(NamedTuple):
    frame: Frame
    arrived: float  # by time.monotonic
    age: float  # seconds
    turn: int


class Watch:
    """Segments the newest frame of a source, again and again, until the source ends or `stop` is called."""

    def __init__(self, predictor: Predictor, frames: Iterator[Frame]) -> None:
        self._predictor, self._predict, self._frames = predictor, live(predictor), frames
        self._turn = 0  # of a source that begins again: frames before its start do not steady those after it
        self._changed = threading.Condition()
        self._waiting: _Arrived | None = None  # the newest frame
        self._dropped, self._ended = 0, False
        self._error: Exception | None = None
        self._picture, self._state, self._number = b"", State(), 0
        self._times: deque[tuple[float, float]] = deque(maxlen=RECENT)

    @property
    def remark(self) -> str:
        """What a viewer must know of the model; '' if nothing."""
        return SIMULATED_ONLY if self._predictor.simulated_only else ""

    def run(self) -> State:
        """Return the state at the end; raise what the source raised."""
        threading.Thread(target=self._read, name="source", daemon=True).start()
        while (taken := self._take()) is not None:
            self._segment(*taken)
        self._show(self._picture, replace(self._state, ended=True, dropped=self._dropped))
        if self._error is not None:
            raise self._error
        return self._state

    def stop(self) -> None:
        with self._changed:
            self._waiting, self._ended = None, True
            self._changed.notify_all()

    def wait(self, number: int, seconds: float = 1.0) -> tuple[int, bytes, State]:
        """Return number, picture (JPEG) and state of the frame on show, as soon as its number differs from `number`."""
        with self._changed:
            self._changed.wait_for(lambda: self._number != number, seconds)
            return self._number, self._picture, self._state

    def _read(self) -> None:
        try:
            for frame in self._frames:
                with self._changed:
                    if self._ended:
                        return
                    self._dropped += self._waiting is not None
                    age, turn = getattr(self._frames, "age", 0.0), getattr(self._frames, "turn", 0)
                    self._waiting = _Arrived(frame, time.monotonic(), age, turn)
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self) -> "_Arrived | None":
        """Wait for the next frame; None if there will be no more."""
        with self._changed:
            # Python handles Ctrl-C between two waits, so an endless one would delay it until a frame comes.
            while not self._changed.wait_for(lambda: self._waiting is not None or self._ended, CTRL_C_SEEN_WITHIN):
                pass
            taken, self._waiting = self._waiting, None
            return taken

    def _segment(self, frame: Frame, arrived: float, age: float, turn: int) -> None:
        if turn != self._turn:
            self._predict, self._turn = live(self._predictor), turn
        found = self._predict(frame, arrived)
        outlined = time.monotonic()
        _, encoded = cv2.imencode(".jpg", overlay(frame, found.mask), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        self._times.append((outlined, outlined - arrived))
        span = self._times[-1][0] - self._times[0][0]
        rate = (len(self._times) - 1) / span if span > 0 else 0.0
        delay = 1000.0 * float(np.median([delay for _, delay in self._times]))
        of_frame = found.presence, found.confidence, found.area, arrived - age
        state = State(*of_frame, self._state.shown + 1, self._dropped, rate, delay)
        self._show(encoded.tobytes(), state)

    def _show(self, picture: bytes, state: State) -> None:
        with self._changed:
            self._picture, self._state = picture, state
            self._number += 1
            self._changed.notify_all()
