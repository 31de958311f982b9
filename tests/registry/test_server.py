"""A registered model behind `nerveseg serve` and behind `mlflow models serve`, as processes of their own."""

import asyncio
import base64
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pandas as pd
import psutil
import pytest
from mlflow.pyfunc.model import PythonModelContext
from PIL import Image

from core_alone import write_threshold_model
from drawn_frames import simulated_frame
from drawn_models import FLOAT, VAL, segmenter
from nerveseg import cli
from nerveseg.errors import BadFileError
from nerveseg.imaging.claimed_pixels import claimed_pixels
from nerveseg.imaging.frame_files import read_frame
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.inference.predictor import SIMULATED_ONLY, Prediction
from nerveseg.registry.download import PREDICTOR
from nerveseg.registry.packaging import example, save_served
from nerveseg.registry.pyfunc_model import ARTIFACT, RequestError, ServedPredictor
from nerveseg.registry.server_app import Application
from nerveseg.registry.server_requests import PIXELS, ROWS
from nerveseg.saved_models.loading import load_predictor
from nerveseg.saved_models.openvino_export import export
from paths import ROOT
from processes import PATIENCE, eventually, free_port, started

pytestmark = pytest.mark.slow

LIMIT_MB = 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model as it is registered."""
    root = tmp_path_factory.mktemp("served")
    (root / "exported").mkdir()
    export(segmenter(2), root / "exported", FLOAT, VAL, "gan")
    save_served(root / "model", root / "exported", pd.DataFrame({"frame": ["1_1"]}), "A card.")
    return root / "model"


@contextmanager
def running(*command: str):
    """A server, its port being the last word of the command; ended with Ctrl-C."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with started(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            eventually(lambda: answers(int(command[-1])), server)
            yield server
        finally:
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=PATIENCE)


@pytest.fixture(scope="module")
def expected_of(folder):
    predictor = load_predictor(folder / PREDICTOR)

    def predicted(frame: np.ndarray) -> Prediction:
        (found,) = predictor.predict([frame])
        return found

    return predicted


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def port(folder):
    port = free_port()
    impatient = "from nerveseg import cli, local_server; local_server.HEADER_SECONDS = 3.0; cli.main()"
    command = [sys.executable, "-c", impatient, "serve", "--model", str(folder), "--limit", str(LIMIT_MB)]
    with running(*command, "--port", str(port)):
        yield port


def ask(port: int, body: object) -> tuple[int, dict]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", content, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - it is ours
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def file_of(frame: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, frame)[1].tobytes()


def dicom_of(frames: np.ndarray) -> bytes:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UltrasoundMultiFrameImageStorage, generate_uid()
    made = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.Rows, made.Columns, made.NumberOfFrames = frames.shape[1], frames.shape[2], len(frames)
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
    made.PixelData = frames.tobytes()
    file = io.BytesIO()
    made.save_as(file)
    return file.getvalue()


def image_of(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


FRAME = simulated_frame((60, 90), nerve=True, seed=3)[0]
TWELVE_BITS = np.linspace(0, 4000, 5400).reshape(60, 90).astype(np.uint16)  # and no file says so


@pytest.mark.parametrize("form", ["frame", ".png", ".tif", ".dcm"])
def test_a_frame_is_answered_as_the_predictor_itself_would_in_each_form(port, expected_of, form):
    if form == "frame":
        row = {"frame": FRAME.tolist()}
    else:
        row = {"image": coded(dicom_of(FRAME[np.newaxis]) if form == ".dcm" else file_of(FRAME, form))}
    status, answer = ask(port, {"dataframe_records": [row]})
    assert status == 200
    (told,), expected = answer["predictions"], expected_of(FRAME)
    assert expected.area
    assert np.array_equal(image_of(told["mask"]) > 0, expected.mask)
    assert set(np.unique(image_of(told["mask"]))) <= {0, 255}
    assert np.abs(image_of(told["probability"]) / 65535 - expected.probability).max() < 1 / 65535
    assert told["presence"] == pytest.approx(expected.presence, abs=1e-6)
    assert told["confidence"] == pytest.approx(expected.confidence, abs=1e-6)
    assert (told["area"], told["height"], told["width"]) == (expected.area, 60, 90)
    assert (told["centroid_row"], told["centroid_column"]) == pytest.approx(expected.centroid)


def test_frames_of_several_sizes_and_forms_in_one_request_are_told_as_lists_where_that_is_asked(port, expected_of):
    other = simulated_frame((50, 40), nerve=False, seed=1)[0]
    rows = [{"frame": FRAME.tolist()}, {"image": coded(file_of(other, ".png"))}]
    status, answer = ask(port, {"dataframe_records": rows, "params": {"arrays": True}})
    assert status == 200
    for told, frame in zip(answer["predictions"], (FRAME, other), strict=True):
        assert np.array_equal(told["mask"], expected_of(frame).mask)
        assert np.shape(told["probability"]) == frame.shape


def test_an_empty_mask_has_no_centroid():
    served = ServedPredictor()
    served.predictor = Trained()
    (told,) = served.predict(None, pd.DataFrame({"frame": [[[1, 2], [3, 4]]]}))
    assert (told["area"], told["centroid_row"], told["centroid_column"]) == (0, None, None)
    assert not image_of(told["mask"]).any()


@pytest.mark.parametrize("simulated_only", [True, False])
def test_a_served_model_of_simulated_frames_alone_says_so_when_it_is_loaded(tmp_path, capsys, simulated_only):
    artifacts = {ARTIFACT: str(write_threshold_model(tmp_path / "model", simulated_only=simulated_only))}
    ServedPredictor().load_context(PythonModelContext(artifacts, {}))
    assert capsys.readouterr().err == f"{SIMULATED_ONLY}\n" * simulated_only


class Trained:
    """A model of a data set with these black and white; it keeps the frames that it is given."""

    def __init__(self, **grey_range):
        self.grey_range, self.seen = GreyRange(**grey_range), []

    def predict(self, frames):
        self.seen += frames
        return [
            Prediction(np.zeros(frame.shape, np.float32), np.zeros(frame.shape, bool), 0.1, 0.9) for frame in frames
        ]


def served_by(trained: Trained, **row) -> list[np.ndarray]:
    served = ServedPredictor()
    served.predictor = trained
    served.predict(None, pd.DataFrame({name: [value] for name, value in row.items()}))
    return trained.seen


def test_a_frame_of_16_bits_is_read_as_the_training_s_were_and_refused_where_it_is_brighter_than_their_white():
    trained = Trained(integer=(0.0, 4095.0))
    assert served_by(trained, image=coded(file_of(TWELVE_BITS, ".png")))[0].max() == round(255 * 4000 / 4095)
    with pytest.raises(RequestError, match="from 0 to 5000, but its source was read with black at 0 and white at 4095"):
        served_by(trained, image=coded(file_of(TWELVE_BITS + TWELVE_BITS // 4, ".png")))


@pytest.mark.parametrize("floating", [(0.0, 1.0), (0.0, 0.5), (0.0, 255.0), None])
@pytest.mark.parametrize("form", [list, np.array])
def test_fractions_up_to_1_are_read_as_a_floating_point_file_with_them_would_be(floating, form):
    levels = np.linspace(0, 1, 48).reshape(6, 8)
    given = {"frame": levels.tolist() if form is list else levels}
    file = {"image": coded(file_of(levels.astype(np.float32), ".tif"))}
    if floating == (0.0, 1.0):
        seen = served_by(Trained(floating=floating), **given)[0]
        assert np.array_equal(seen, served_by(Trained(floating=floating), **file)[0])
        assert (seen.min(), seen.max()) == (0, 255)
    elif floating == (0.0, 255.0):
        assert np.array_equal(*(served_by(Trained(floating=floating), **each)[0] for each in (given, file)))
    else:
        messages = []
        for each in (given, file):
            with pytest.raises(RequestError, match=r"row 1: (frame|image): pixels from 0 to 1, ") as told:
                served_by(Trained(floating=floating), **each)
            messages.append(told.value.message.replace("image:", "frame:"))
        assert messages[0] == messages[1]


def test_whole_numbers_are_levels_however_dark_and_fractions_above_1_are_rounded():
    assert served_by(Trained(), frame=[[0, 1], [1, 0]])[0].tolist() == [[0, 1], [1, 0]]
    assert served_by(Trained(), frame=[[0.4, 1.6], [254.6, 0]])[0].tolist() == [[0, 2], [255, 0]]
    assert served_by(Trained(), frame=np.full((2, 2), 7, np.uint8))[0].tolist() == [[7, 7], [7, 7]]
    with pytest.raises(RequestError, match="outside of 0 to 255"):
        served_by(Trained(), frame=[[float("nan"), 1.0]])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"frame": [[1, 2], [3]]}], "row 1: frame has rows of unequal length"),
        ([{"frame": [["1", "2"], ["3", "4"]]}], "row 1: frame holds str, which is no number"),
        ([{"frame": [[True, False], [3, 4]]}], "row 1: frame holds bool, which is no number"),
        ([{"frame": [[[1, 2, 3]]]}], "row 1: frame holds list, which is no number"),
        ([{"frame": [[{}]]}], "row 1: frame holds dict, which is no number"),
        ([{"frame": [[0.1, 0.9]]}], "row 1: frame: pixels from 0.1 to 0.9, of which nothing says what is white; send"),
        ([{"frame": [[-0.1, 0.9]]}], "values outside of 0 to 255"),
        ([{"frame": [[10**400]]}], "values outside of 0 to 255"),
        ([{"frame": [[10**30, 1]]}], "values outside of 0 to 255"),
        ([{"frame": [[0, 256]]}], "values outside of 0 to 255"),
        ([{"frame": [[0, -1]]}], "values outside of 0 to 255"),
        ([{"frame": [[None, 1]]}], "frame holds NoneType, which is no number"),
        ([{"frame": [1, 2]}], "frame is not a list of rows"),
        ([{"frame": []}], "frame is not a list of rows"),
        ([{"frame": [[]]}], "frame is not a list of rows"),
        ([{"frame": [[1], []]}], "frame is not a list of rows"),
        ([{"frame": 5}], "frame is not a list of rows"),
        ([{"frame": "text"}], "frame is not a list of rows"),
        ([{"image": "/etc/hostname"}], "not base64"),
        ([{"image": "data:image/png;base64,aGVsbG8="}], "not base64"),
        ([{"image": ""}], "the file is empty"),
        (
            [{"image": coded(b"\0\0\0\x18ftypmp42" + bytes(40))}],
            "a video, expected TIFF, PNG, JPEG or BMP; send each frame whole",
        ),
        ([{"image": "!"}], "not base64"),
        ([{"image": "aGVs\nbG8="}], "without a prefix or line breaks"),
        ([{"image": 5}], "image is int; expected the base64"),
        ([{"image": coded(b"hello")}], "5 bytes that are no image"),
        ([{"image": coded(file_of(FRAME, ".png")[:-40])}], "; send each frame whole"),
        (
            [{"image": coded(file_of(TWELVE_BITS, ".png"))}],
            "from 0 to 4000, of which nothing says what is white; send each frame whole, as an 8-bit PNG",
        ),
        ([{"image": coded(dicom_of(np.stack([FRAME, FRAME])))}], "2 frames, expected one"),
        ([{"image": coded(b"\0" * 128 + b"DICM")}], "row 1: image: "),
        ([{"frame": [[1]], "image": "aGVsbG8="}], "both of frame and image"),
        ([{"frame": [[1]]}, {}], "row 2: neither of frame and image"),
        ([{"picture": [[1]]}], "a frame has another key than frame and image; expected"),
        ([{"id": 7, "frame": [[1]]}], "a frame has another key than frame and image; expected"),
        ([], "no frame was found"),
    ],
)
def test_a_bad_request_gets_400_and_one_clear_message_without_what_was_sent(port, rows, told):
    status, answer = ask(port, {"dataframe_records": rows})
    assert status == 400
    assert told in answer["message"]
    assert "\n" not in answer["message"]
    assert "Traceback" not in json.dumps(answer)
    assert tempfile.gettempdir() not in answer["message"]


@pytest.mark.parametrize("body", [b"{nope", b"", [1], {"rows": []}, {"inputs": [[1, 2]]}])
def test_what_is_no_request_at_all_gets_400_without_a_traceback(port, body):
    status, answer = ask(port, body)
    assert status == 400
    assert "Traceback" not in json.dumps(answer)


def test_a_request_above_the_limit_gets_413_and_the_next_one_is_answered(port):
    status, answer = ask(port, b"0" * (LIMIT_MB * 2**20 + 1))
    assert status == 413
    assert "larger than 1 MB" in answer["message"]
    assert ask(port, {"dataframe_records": [{"frame": [[1, 2], [3, 4]]}]})[0] == 200


def test_a_request_that_does_not_say_its_size_is_cut_off_at_the_limit(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    parts = (b"0" * 2**16 for _ in range(2 * LIMIT_MB * 16))
    connection.request("POST", "/invocations", parts, {"Content-Type": "application/json"}, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 413
    assert "--limit" in json.load(answer)["message"]
    connection.close()


def test_it_listens_on_this_machine_alone(port):
    listening = [each.laddr for each in psutil.net_connections("inet") if each.status == "LISTEN"]
    assert [address.ip for address in listening if address.port == port] == ["127.0.0.1"]


def test_a_port_in_use_and_a_folder_without_a_model_are_told(port, folder, tmp_path):
    with pytest.raises(SystemExit, match=rf"port {port} of 127.0.0.1 cannot be used .* --port"):
        cli.main(["serve", "--model", str(folder), "--port", str(port)])
    with pytest.raises(SystemExit, match=r"holds no MLmodel"):
        cli.main(["serve", "--model", str(tmp_path), "--port", str(free_port())])


def post(port: int, body: bytes, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.putrequest("POST", "/invocations", skip_host="Host" in headers)
    for name, value in ({"Content-Length": str(len(body))} | headers).items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


JSON = "application/json"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("text/csv", 415), ("application/vnd.apache.parquet", 415), ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415), ("application/json; charset=latin1", 415), ("", 400), (None, 400),
        ("application/json; charset=UTF-8", 200), ("Application/JSON", 200),
    ],
)  # fmt: skip
def test_only_json_is_read(port, kind, status):
    body = json.dumps({"dataframe_records": [{"frame": [[1, 2], [3, 4]]}]}).encode()
    found, told = post(port, body, **({} if kind is None else {"Content_Type": kind}))
    assert found == status
    assert status == 200 or "send application/json" in json.loads(told)["message"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"dataframe_records": [{"image": "DOE^JANE"',
        b"\xff\xfeDOE^JANE",
        b'{"dataframe_records":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"dataframe_records":[{"frame":[[' + b"9" * 5000 + b"]]}]}",
        b'{"dataframe_records":[{"frame":[[' + b"9" * 400 + b"]]}]}",
        b'{"dataframe_records":[{"frame":[[NaN]]}]}',
        b'{"dataframe_records":[{"frame":[[1e999]]}]}',
        b'{"dataframe_records":[{"frame":{"DOE^JANE":1}}]}',
        b'{"dataframe_records":[{"frame":[["DOE^JANE"]]}]}',
        b'{"dataframe_records":[{"DOE^JANE":1}]}',
        b'{"dataframe_records":{"frame":"DOE^JANE"}}',
        b'{"dataframe_records":["DOE^JANE"]}',
        b'{"dataframe_split":{"columns":["DOE^JANE"],"data":[[1]]}}',
        b'{"dataframe_split":{"columns":["frame"],"data":[["DOE^JANE",2]]}}',
        b'{"dataframe_split":{"columns":["frame","frame"],"data":[[[[1]],[["DOE^JANE"]]]]}}',
        b'{"dataframe_records":[{"frame":[[1]]}],"params":[]}',
        b'{"dataframe_records":[{"frame":[[1]]}],"params":{"arrays":1}}',
        b'{"instances":[{"image":"DOE^JANE"}]}',
        b'{"inputs":"DOE^JANE"}',
        b'{"dataframe_records":[{"frame":[[1]]}],"params":{"DOE^JANE":1}}',
        b'{"dataframe_records":[{"frame":[[1]]}],"params":["DOE^JANE"]}',
        b'{"dataframe_records":[{"image":"' + base64.b64encode(b"DOE^JANE") + b'"}]}',
        b'{"dataframe_records":[{"image":"\ud83d"}]}',
        b"null", b"[]", b"1", b"", b"\0",
    ],
)  # fmt: skip
def test_a_malformed_body_gets_400_and_one_sentence_that_echoes_nothing(port, body):
    status, told = post(port, body, Content_Type=JSON)
    assert status == 400
    assert set(json.loads(told)) == {"error_code", "message"}
    assert "DOE" not in told
    assert "\n" not in json.loads(told)["message"]


def bomb(width: int, height: int) -> str:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return coded(file.getvalue())


def jpeg_in_dicom(claimed: int, true: int) -> str:
    """A DICOM file that says it is small, around a JPEG that is not."""
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    made = pydicom.dcmread(io.BytesIO(dicom_of(np.zeros((1, claimed, claimed), np.uint8))))
    file = io.BytesIO()
    Image.new("L", (true, true)).save(file, "JPEG")
    made.PixelData = encapsulate([file.getvalue()])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    file = io.BytesIO()
    made.save_as(file)
    return coded(file.getvalue())


@pytest.mark.parametrize(
    "rows",
    [
        [{"image": bomb(8192, 8192)}],
        [{"image": bomb(2**26, 1)}],
        [{"image": bomb(1, 2**26)}],
        [{"image": bomb(4096, 4096)}] * 3,
        [{"image": jpeg_in_dicom(16, 6000)}],
    ],
)
def test_frames_that_would_fill_the_memory_are_refused_before_they_are_decoded(port, rows):
    status, told = post(port, json.dumps({"dataframe_records": rows}).encode(), Content_Type=JSON)
    assert status == 413
    assert "send fewer or smaller ones at once" in told


def test_frames_asked_for_as_numbers_may_have_fewer_pixels(port):
    rows = {"dataframe_records": [{"image": bomb(4096, 4096)}], "params": {"arrays": True}}
    assert post(port, json.dumps(rows).encode(), Content_Type=JSON)[0] == 413


def test_a_film_or_a_file_of_several_pages_is_refused_before_it_is_decoded(port):
    file = io.BytesIO()
    Image.new("L", (9, 9)).save(file, "TIFF", save_all=True, append_images=[Image.new("L", (9, 9))])
    status, told = post(
        port, json.dumps({"dataframe_records": [{"image": coded(file.getvalue())}]}).encode(), Content_Type=JSON
    )
    assert (status, "more than one page" in told) == (400, True)


def compressed(frame: np.ndarray, **header: int) -> bytes:
    """A run-length coded DICOM file, with what its header says changed afterwards."""
    import pydicom
    from pydicom.uid import RLELossless

    dataset, file = pydicom.dcmread(io.BytesIO(dicom_of(frame[np.newaxis]))), io.BytesIO()
    dataset.compress(RLELossless)
    for name, value in header.items():
        setattr(dataset, name, value)
    dataset.save_as(file)
    return file.getvalue()


def test_a_run_length_coded_frame_may_not_hold_more_than_its_header_announces():
    bomb_of_runs = compressed(np.zeros((1000, 1000), np.uint8), Rows=9, Columns=9)
    with pytest.raises(BadFileError, match="more pixels than its header announces"):
        claimed_pixels(bomb_of_runs)
    assert claimed_pixels(compressed(FRAME)) == FRAME.size


def scanned(times: int, shape: tuple[int, int] = (16, 16)) -> bytes:
    """A progressive JPEG that repeats a scan which says nothing new."""
    file = io.BytesIO()
    Image.new("L", shape, 90).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    empty = bytes.fromhex("ffda0008010100013f00") + b"\x7f"
    return content.removesuffix(b"\xff\xd9") + times * empty + b"\xff\xd9"


def tiff_of_strips(strips: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (16, 8 * strips), 90).save(file, "TIFF", compression="jpeg", tiffinfo={278: 8})
    return file.getvalue()


def test_a_jpeg_that_would_be_decoded_in_many_thousand_passes_is_refused_in_each_way_that_leads_to_a_decoder(tmp_path):
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    made, file = pydicom.dcmread(io.BytesIO(dicom_of(FRAME[np.newaxis]))), io.BytesIO()
    made.PixelData = encapsulate([scanned(5000)])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    made.save_as(file)
    for name, content in {"a.jpg": scanned(5000), "a.dcm": file.getvalue()}.items():
        with pytest.raises(BadFileError, match=r"5,\d{3} scans, expected at most 100"):
            claimed_pixels(content)
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadFileError, match=r"5,\d{3} scans, expected at most 100"):
            read_frame(tmp_path / name, GreyRange())
    assert claimed_pixels(tiff_of_strips(150)) == 16 * 8 * 150, "each strip of a TIFF is a JPEG of its own"
    (tmp_path / "few.jpg").write_bytes(scanned(50))
    assert read_frame(tmp_path / "few.jpg", GreyRange()).shape == (16, 16)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost@evil.example", ""]
)
def test_who_calls_it_by_another_name_gets_nothing(port, host):
    assert post(port, b"{}", Content_Type=JSON, Host=host)[0] == 403


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/version", "/"])
def test_there_are_no_pages(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/json")


def application(predict=lambda table, params: [{"frames": len(table)}], limit=2**20):
    return Application(predict, limit)


def asked(app, body: bytes, *, chunk: int = 2**16, stall: float = 0.0):
    """The status and message with which an application answers a body that comes in parts, the last one late."""

    async def ask():
        sent, parts = [], [body[at : at + chunk] for at in range(0, len(body), chunk)]

        async def receive():
            if not parts[1:]:
                await asyncio.sleep(stall)
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"127.0.0.1:1"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": headers}
        await app(scope, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"])

    return asyncio.run(ask())


LEAST = PIXELS // ROWS  # that a frame counts, however small
BODY = json.dumps({"dataframe_records": [{"frame": [[1, 2], [3, 4]]}]}).encode()


def test_a_body_that_does_not_come_in_time_gets_408(monkeypatch):
    monkeypatch.setattr("nerveseg.registry.server_app.BODY_SECONDS", 0.1)
    assert asked(application(), BODY, stall=0.5)[0] == 408
    assert asked(application(), BODY) == (200, {"predictions": [{"frames": 1}]})


def test_more_bodies_or_frames_than_can_be_held_get_429_and_the_room_is_given_back(monkeypatch):
    app = application()
    monkeypatch.setattr(app._bytes, "left", 10)
    assert asked(app, BODY)[0] == 429
    monkeypatch.setattr(app._bytes, "left", len(BODY))
    monkeypatch.setattr(app._pixels, "left", LEAST - 1)
    assert asked(app, BODY)[0] == 429
    monkeypatch.setattr(app._pixels, "left", LEAST)
    assert [asked(app, BODY)[0] for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize(("rows", "status"), [(ROWS, 200), (ROWS + 1, 413), (100_000, 413)])
def test_tiny_frames_cannot_keep_the_model_busy_for_hours(rows, status):
    body = json.dumps({"dataframe_records": [{"frame": [[0]]}] * rows}).encode()
    assert asked(application(limit=2**22), body)[0] == status


def test_a_fault_of_the_model_is_told_without_what_was_sent_or_where(caplog):
    def broken(table, params):
        raise ValueError(f"cannot do {table}")

    status, told = asked(application(broken), BODY)
    assert (status, told["message"]) == (500, "the model failed (ValueError); report it with the frame")
    assert "Traceback" not in caplog.text
    assert "cannot do" not in caplog.text


def test_a_head_that_does_not_come_and_connections_beyond_a_number_are_closed(port):
    from nerveseg.registry.server import CONNECTIONS

    half = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _ in range(CONNECTIONS + 20)]
    for each in half:
        with suppress(OSError):
            each.sendall(b"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nX-a: ")
    began = time.monotonic()
    answers = []
    for each in half:
        with suppress(ConnectionError):
            answers.append(each.recv(20))
        each.close()
    assert time.monotonic() - began < 60, "who is silent was waited for"
    assert answers.count(b"HTTP/1.1 503 Service") >= 10
    assert post(port, BODY, Content_Type=JSON)[0] == 200


def test_ctrl_c_ends_it_without_an_error(folder):
    port = free_port()
    with running(sys.executable, "-m", "nerveseg.cli", "serve", "--model", str(folder), "--port", str(port)) as server:
        server.send_signal(signal.SIGINT)
        out, _ = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0
    assert "Traceback" not in out


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_time_although_a_request_keeps_the_model_busy(sent):
    port = free_port()
    busy = (
        "import time; from nerveseg import cli, local_server; from nerveseg.registry import server; "
        "local_server.END_SECONDS = 1; server._loaded = lambda model: lambda table, params: time.sleep(600); cli.main()"
    )
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    command = (sys.executable, "-c", busy, "serve", "--model", "any", "--port", str(port))
    with running(*command) as server, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head.encode() + BODY)
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        server.send_signal(sent)
        assert "Traceback" not in server.communicate(timeout=PATIENCE)[0]


def test_mlflow_s_own_command_answers_the_same(folder, port):
    other = free_port()
    command = ["mlflow", "models", "serve", "-m", str(folder), "--env-manager", "local", "--host", "127.0.0.1"]
    request = json.loads(example().to_json(orient="split"))
    with running(*command, "--port", str(other)):
        answer = ask(other, {"dataframe_split": request})
        bad = ask(other, {"dataframe_records": [{"frame": [[0, 256]]}]})
    assert answer == ask(port, {"dataframe_split": request})
    assert bad[0] == 400
    assert "outside of 0 to 255" in bad[1]["message"]


@pytest.mark.parametrize("content", ["", ": [", "flavors: {}"])
def test_a_folder_that_holds_no_model_that_can_be_loaded_is_told_in_one_sentence(tmp_path, content):
    import mlflow.pyfunc  # noqa: F401 - it stays imported

    (tmp_path / "MLmodel").write_text(content)
    with mock.patch.dict(sys.modules), pytest.raises(SystemExit) as end:
        cli.main(["serve", "--model", str(tmp_path), "--port", str(free_port())])
    assert str(end.value).startswith(f"error: {tmp_path} cannot be loaded (")
    assert "\n" not in str(end.value)
