"""The body of a request to `serve`, parsed or refused; no sentence repeats what was sent: it may be a patient's."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Any

import pandas as pd
from pydantic_core import from_json

from nerveseg.errors import BadFileError
from nerveseg.imaging.claimed_pixels import claimed_pixels

COLUMNS = ("frame", "image")
_ORDERS = (["frame"], ["image"], ["frame", "image"], ["image", "frame"])  # of the columns of a table
PIXELS = 2**25  # of all frames of a request: 137 of 580x420
ROWS = 2**9  # of a request: 20 MB hold 800,000 tiny ones, and the network takes as long for each as for a large one
PER_LISTED = 4  # a pixel answered as a number takes so many times the memory of one in a PNG
# For every file that cannot be read: what other commands advise, such as an option or another suffix, is of no use here.
REMEDY = "send each frame whole, as an 8-bit PNG, TIFF, JPEG or BMP or as a DICOM file of one frame"
EXPECTED = 'expected {"dataframe_records": [{"image": "<base64 of a file>"}]}, or "frame" with rows of grey levels from 0 to 255'


class Refusal(Exception):  # noqa: N818 - it is an answer
    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Request:
    """A table for the model, its parameters, and the pixels to count for it, in memory and time."""

    table: pd.DataFrame
    params: dict[str, bool]
    pixels: int


def check_type(content_type: str) -> None:
    """Refuse everything but JSON in UTF-8: pandas would unpack CSV and Parquet of any size."""
    if not content_type:
        raise bad("the request has no Content-Type; send application/json")
    header = Message()
    header["Content-Type"] = content_type
    charset = str(header.get_param("charset", "utf-8")).lower()
    if header.get_content_type() != "application/json" or charset not in ("utf-8", "utf8"):
        told = "the Content-Type of the request is not JSON; send application/json in UTF-8"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, told)


def parsed(body: bytes | bytearray) -> Request:
    """Parse a body; Refusal if it is no request, or has too many pixels."""
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise bad(f"the body is not JSON, is nested too deeply, or holds NaN or Infinity; {EXPECTED}") from None
    rows = _rows(content)
    params = {} if content.get("params") is None else content["params"]
    if not isinstance(params, dict) or not set(params) <= {"arrays"} or not {*map(type, params.values())} <= {bool}:
        raise bad('params must be {"arrays": true} or {"arrays": false}; send one of them, or leave params out')
    if len(rows) > ROWS:
        raise too_much(f"the request has {len(rows):,} frames, more than {ROWS}; send fewer frames at once")
    pixels = sum(_pixels(row, number) for number, row in enumerate(rows, 1))
    each = PER_LISTED if params.get("arrays") else 1
    if each * pixels > PIXELS:
        found = f"the request's frames have {pixels:,} pixels, more than {PIXELS // each:,}"
        raise too_much(f"{found}; send fewer or smaller ones at once")
    given = [name for name in COLUMNS if any(name in row for row in rows)]
    table = pd.DataFrame({name: [row.get(name) for row in rows] for name in given}, dtype=object)
    return Request(table, params, max(each * pixels, len(rows) * PIXELS // ROWS))


def _rows(content: Any) -> list[Mapping[str, Any]]:
    if isinstance(content, dict):
        match content.get("dataframe_records"), content.get("dataframe_split"):
            case [*rows], None if rows and all(isinstance(row, dict) for row in rows):
                if set().union(*rows) - set(COLUMNS):
                    raise bad(f"a frame has another key than frame and image; {EXPECTED}")
                if any(rows):
                    return rows
            case None, {"columns": [*names], "data": [*rows]} if rows and names in _ORDERS:
                if all(isinstance(row, list) and len(row) == len(names) for row in rows):
                    return [dict(zip(names, row, strict=True)) for row in rows]
    raise bad(f"no frame was found; {EXPECTED}")


def _pixels(row: Mapping[str, Any], number: int) -> int:
    """Count pixels; of what is no frame none, since the model says what is wrong with it."""
    frame, image = row.get("frame"), row.get("image")
    if isinstance(image, str):
        try:
            return claimed_pixels(base64.b64decode(image, validate=True))
        except BadFileError as error:
            raise bad(f"row {number}: image: {error.reason}; {REMEDY}") from None
        except (binascii.Error, ValueError):
            return 0
    return sum(len(line) for line in frame if isinstance(line, list)) if isinstance(frame, list) else 0


def bad(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, message)


def too_much(message: str) -> Refusal:
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
