"""Live frames: which are shown and dropped, where they come from, and the page that shows them."""

import base64
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from core_alone import write_threshold_model
from drawn_frames import simulated_frame
from drawn_models import FLOAT, VAL, segmenter
from nerveseg.errors import BadFileError, DatasetError, ServingError
from nerveseg.inference.predictor import SIMULATED_ONLY, Prediction
from nerveseg.live_view.live import Watch
from nerveseg.live_view.live_frames import frames_of
from nerveseg.live_view.page import CONNECTIONS, page
from nerveseg.saved_models.openvino_export import export
from odd_files import dicom
from paths import ROOT
from processes import PATIENCE, attempt, free_port, run, started

FRAME, MASK = simulated_frame((48, 80), nerve=True, seed=1)


class Slow:
    """Calls the ellipse a nerve, after some seconds; notes what it was asked for."""

    simulated_only = False

    def __init__(self, seconds=0.0):
        self.seconds, self.asked = seconds, []

    def live(self):
        def predict(frame, arrived):
            time.sleep(self.seconds)
            self.asked.append(int(frame[0, 0]))
            return Prediction(MASK.astype(np.float32), MASK, 0.75, 0.5)

        return predict


@pytest.fixture(autouse=True)
def _predicts_itself(monkeypatch):
    """In place of the steadying of a network's maps."""
    monkeypatch.setattr("nerveseg.live_view.live.live", lambda model: model.live())


def numbered(count, seconds):
    """Frames whose first pixel is their number, at this interval."""
    for number in range(count):
        frame = FRAME.copy()
        frame[0, 0] = number
        yield frame
        time.sleep(seconds)


def test_every_frame_is_shown_where_there_is_time_for_it():
    model = Slow()

    def waited_for():
        for number, frame in enumerate(numbered(10, 0)):
            end = time.monotonic() + PATIENCE
            while len(model.asked) < number and time.monotonic() < end:
                time.sleep(0.005)
            yield frame

    state = Watch(model, waited_for()).run()
    assert model.asked == list(range(10))
    assert (state.shown, state.dropped, state.ended) == (10, 0, True)
    assert (state.presence, state.confidence, state.area) == (0.75, 0.5, MASK.sum())


def test_frames_are_dropped_rather_than_shown_late_and_are_counted():
    model = Slow(0.1)
    state = Watch(model, numbered(30, 0.02)).run()
    assert state.shown == len(model.asked) < 12
    assert state.shown + state.dropped == 30
    assert model.asked == sorted(model.asked)
    assert model.asked[-1] == 29, "the last one is shown"
    assert 100 <= state.delay < 1000, "where each in its turn would have waited for seconds"


def test_an_error_of_the_source_ends_the_watch_and_is_told():
    def breaking():
        yield FRAME
        raise DatasetError("the cable was pulled")

    with pytest.raises(DatasetError, match="the cable was pulled"):
        Watch(Slow(), breaking()).run()


def test_it_stops_when_it_is_told_to_though_the_source_goes_on():
    watch = Watch(Slow(), numbered(10**9, 0.01))
    threading.Timer(0.3, watch.stop).start()
    assert watch.run().shown > 3


def test_ctrl_c_is_heard_though_it_did_not_wake_the_wait_for_a_frame():
    asleep = threading.Event()

    def nothing():
        asleep.wait()
        yield from ()

    def interrupt():  # handled by this thread; the main one is only told, and sleeps on
        time.sleep(0.3)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    watch = Watch(Slow(), nothing())
    giving_up = threading.Timer(20, watch.stop)
    giving_up.start()
    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            watch.run()
        assert giving_up.is_alive(), "it was heard only when something else ended the wait"
    finally:
        giving_up.cancel()
        asleep.set()


def video(path, frames, rate):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (80, 48))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def test_a_video_comes_at_its_own_speed(tmp_path):
    path = video(tmp_path / "loop.avi", [FRAME] * 10, 20)
    began = time.monotonic()
    found = list(frames_of(path))
    assert 0.4 < time.monotonic() - began < 20
    assert [(frame.shape, frame.dtype) for frame in found] == [((48, 80), np.uint8)] * 10
    assert np.abs(found[0].astype(int) - FRAME).mean() < 6


def test_a_video_begins_again_where_that_is_asked_for_and_says_which_turn_a_frame_is_of(tmp_path):
    frames = frames_of(video(tmp_path / "loop.avi", [FRAME, FRAME[::-1]], 100), loop=True)
    found = [(next(frames), frames.turn) for _ in range(5)]
    assert [turn for _, turn in found] == [0, 0, 1, 1, 2]
    assert np.array_equal(found[0][0], found[4][0])
    assert not np.array_equal(found[0][0], found[1][0])


def test_what_is_odd_about_a_clip_is_told_in_its_first_turn_alone(tmp_path, capsys):
    path = tmp_path / "loop.dcm"
    levels = np.stack([FRAME, FRAME[::-1]]).astype(np.uint16) * 10
    path.write_bytes(dicom(levels, FrameTime="1"))
    frames = frames_of(path, loop=True)
    assert [next(frames).shape for _ in range(6)] == [FRAME.shape] * 6
    assert len(capsys.readouterr().out.splitlines()) <= 1


@pytest.mark.parametrize("source", [Path(), 0])
def test_a_source_that_does_not_end_is_not_begun_again(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="--loop plays a video or a cine loop again"):
        frames_of(source, loop=True)


def test_frames_before_the_seam_do_not_steady_those_after_it_and_numbers_go_on():
    class Turning:
        turn, made = 0, 0

        def __iter__(self):
            return self

        def __next__(self):
            if self.made == 4:
                raise StopIteration
            while len(model.asked) < self.made:
                time.sleep(0.005)
            self.turn, self.made = self.made // 2, self.made + 1
            return FRAME

    class Beginning(Slow):
        begun = 0

        def live(self):
            self.begun += 1
            return super().live()

    model = Beginning()
    state = Watch(model, Turning()).run()
    assert (model.begun, state.shown, state.dropped) == (2, 4, 0)


def test_a_cine_loop_of_dicom_comes_at_its_own_speed(tmp_path):
    path = tmp_path / "loop.dcm"
    path.write_bytes(dicom(np.stack([FRAME, FRAME[::-1]]), FrameTime="300"))
    began = time.monotonic()
    found = list(frames_of(path))
    assert 0.3 <= time.monotonic() - began < 20
    assert np.array_equal(found, [FRAME, FRAME[::-1]])


SOON = 30  # seconds


def soon(frames):
    """The next frame; `next` would wait for ever for one that does not come."""
    found = []
    waiting = threading.Thread(target=lambda: found.append(next(frames)), daemon=True)
    waiting.start()
    waiting.join(SOON)
    assert found, f"no frame within {SOON} s"
    return found[0]


def test_of_a_folder_the_newest_frame_comes_and_those_that_appear_half_written_ones_when_they_are_whole(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("nerveseg.live_view.live_frames.WRITTEN_IN", 1.5)
    for number in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full_like(FRAME, number))
    frames = frames_of(tmp_path)
    assert soon(frames)[0, 0] == 10
    whole = cv2.imencode(".png", np.full_like(FRAME, 11))[1].tobytes()
    (tmp_path / "11.png").write_bytes(whole[:30])
    threading.Timer(0.2, (tmp_path / "11.png").write_bytes, [whole]).start()
    assert soon(frames)[0, 0] == 11
    (tmp_path / "12.png").write_bytes(whole[:30])
    cv2.imwrite(str(tmp_path / "13.png"), np.full_like(FRAME, 13))
    assert soon(frames)[0, 0] == 13
    threading.Timer(3.0, cv2.imwrite, [str(tmp_path / "14.png"), np.full_like(FRAME, 14)]).start()
    assert soon(frames)[0, 0] == 14
    assert "skipped: " in (told := capsys.readouterr().err)
    assert "12.png" in told


def test_the_newest_frame_of_a_folder_is_the_latest_whatever_its_name(tmp_path):
    for number, name in enumerate(("e7c1.png", "09ab.png")):
        cv2.imwrite(str(tmp_path / name), np.full_like(FRAME, number))
        os.utime(tmp_path / name, (number, number))
    assert next(frames_of(tmp_path))[0, 0] == 1


def test_the_age_of_a_frame_counts_from_its_file_and_of_a_later_one_from_when_it_came(tmp_path):
    cv2.imwrite(str(tmp_path / "2.png"), FRAME)
    os.utime(tmp_path / "2.png", (time.time() - 9000,) * 2)
    watch = Watch(Slow(), frames_of(tmp_path))
    threading.Thread(target=watch.run, daemon=True).start()
    number, _, state = watch.wait(0, PATIENCE)
    assert 9000 <= time.monotonic() - state.made < 9000 + PATIENCE
    assert state.delay < 1000 * PATIENCE
    cv2.imwrite(str(tmp_path / "1.png"), FRAME)
    os.utime(tmp_path / "1.png", (1, 1))  # of a machine whose clock is wrong
    _, _, state = watch.wait(number, PATIENCE)
    watch.stop()
    assert time.monotonic() - state.made < PATIENCE


def test_a_file_that_is_written_again_is_shown_again(tmp_path):
    def write(level):
        cv2.imwrite(str(tmp_path / "latest.bmp"), np.full_like(FRAME, level))

    write(1)
    frames = frames_of(tmp_path)
    assert soon(frames)[0, 0] == 1
    threading.Timer(0.2, write, [2]).start()
    assert soon(frames)[0, 0] == 2
    whole = (tmp_path / "latest.bmp").read_bytes()
    (tmp_path / "latest.bmp").unlink()
    (tmp_path / "latest.bmp").write_bytes(whole)
    assert soon(frames)[0, 0] == 2


def test_a_file_that_has_its_size_before_its_pixels_is_shown_with_them(tmp_path):
    frames = frames_of(tmp_path)
    whole = cv2.imencode(".bmp", np.full_like(FRAME, 200))[1].tobytes()
    (tmp_path / "1.bmp").write_bytes(whole[:2000] + bytes(len(whole) - 2000))
    assert soon(frames)[0, 0] == 0
    (tmp_path / "1.bmp").write_bytes(whole)
    assert soon(frames)[0, 0] == 200


def test_what_was_taken_for_white_is_told_once_and_a_file_that_is_brighter_is_skipped(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("nerveseg.live_view.live_frames.WRITTEN_IN", 0.5)

    def write(number, white):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.linspace(0, white, 64).reshape(8, 8).astype(np.uint16))

    write(1, 4000)
    frames = frames_of(tmp_path)
    assert soon(frames).max() == round(255 * 4000 / 4095)
    write(2, 2000)
    assert soon(frames).max() == round(255 * 2000 / 4095)
    write(3, 60000)
    threading.Timer(1.5, write, [4, 3000]).start()
    assert soon(frames).max() == round(255 * 3000 / 4095)
    printed = capsys.readouterr()
    assert printed.out == "from 1.png on: whole numbers, taken as 12 bits: black at 0, white at 4095\n"
    assert "3.png: pixels from 0 to 60000, but its source was read with black at 0 and white at 4095" in printed.err


@pytest.mark.parametrize(
    ("source", "error", "told"),
    [
        (Path("none.mp4"), DatasetError, "none.mp4 was not found; name a video, a folder or a capture device"),
        (7, DatasetError, "capture device 7 cannot be opened"),
        (Path("broken.mp4"), BadFileError, "no video that can be read here"),
        (Path("1_1.png"), BadFileError, "an image, expected a video, a cine loop or a folder; run `nerveseg predict`"),
    ],
)
def test_a_source_that_is_none_is_told(tmp_path, monkeypatch, source, error, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    cv2.imwrite("1_1.png", FRAME)
    with pytest.raises(error, match=told):
        frames_of(source)


@contextmanager
def watched(frames, model=None):
    watch = Watch(model or Slow(), frames)
    with page(watch, free_port()) as address:
        thread = threading.Thread(target=watch.run)
        thread.start()
        try:
            yield int(address.rpartition(":")[2])
        finally:
            watch.stop()
            thread.join(PATIENCE)


def ask(port, path, host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    return connection.getresponse()


def events(port):
    """What the page is told, event by event."""
    answer = ask(port, "/frames")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    for line in answer:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


class Numbering(Slow):
    """Calls nerve as many pixels as the number of the frame, which is its brightness."""

    def live(self):
        def predict(frame, arrived):
            mask = np.zeros(frame.shape, bool)
            mask.ravel()[: int(frame[0, 0])] = True
            return Prediction(mask.astype(np.float32), mask, 0.75, 0.5)

        return predict


def flat(count, seconds):
    for number in range(1, count + 1):
        yield np.full((48, 80), 20 * number, np.uint8)
        time.sleep(seconds)


def test_picture_and_numbers_of_an_event_are_of_one_frame():
    with watched(flat(12, 0.1), Numbering()) as port:
        seen = [(state["area"], base64.b64decode(state["picture"])) for state in events(port) if state["shown"]]
    assert len(seen) > 6
    for area, picture in seen:
        shown = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        assert shown.shape == (48, 80, 3)
        assert abs(int(shown[40, 70, 0]) - area) < 5


def test_it_listens_on_this_machine_alone_and_answers_to_no_other_name():
    with watched(numbered(200, 0.02)) as port:
        assert ask(port, "/frames", host="evil.example:80").status == 403
        assert ask(port, "/frames", host="127.0.0.1.evil.example").status == 403
        assert ask(port, "/", host=f"localhost:{port}").status == 200
        assert ask(port, "/etc/passwd").status == 404
        with (
            pytest.raises(ServingError, match=f"port {port} of 127.0.0.1 cannot be used"),
            page(SimpleNamespace(), port),
        ):
            pass


def test_a_client_that_leaves_before_its_answer_leaves_no_traceback(capfd):
    with watched(numbered(100, 0.02)) as port:
        for request in (
            b"",
            b"GET",
            b"GET / HTTP/1.0\r\nHost: evil\r\n\r\n",
            b"GET /frames HTTP/1.0\r\nHost: localhost\r\n\r\n",
        ):
            for _ in range(5):
                client = socket.create_connection(("127.0.0.1", port))
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leaves with a reset
                client.sendall(request)
                client.close()
        assert ask(port, "/").status == 200
        time.sleep(0.3)
    assert capfd.readouterr().err == ""


def test_who_is_silent_is_cut_off_and_too_many_find_no_place(monkeypatch):
    monkeypatch.setattr("nerveseg.local_server.HEADER_SECONDS", 1.0)
    with watched(numbered(10**6, 0.02)) as port:
        silent = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _ in range(CONNECTIONS + 8)]
        before = threading.active_count()
        assert before < CONNECTIONS + 20
        for number in range(4):  # a byte now and then is no request
            for each in silent:
                with suppress(OSError):
                    each.sendall(b"GET "[number : number + 1])
            time.sleep(0.4)
        for each in silent:
            with suppress(ConnectionError):
                assert each.recv(10) in (b"", b"HTTP/1.1 5")
        assert ask(port, "/").status == 200


def test_a_folder_that_goes_away_ends_the_watch_in_one_sentence(tmp_path):
    folder = tmp_path / "grow"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), FRAME)
    frames = frames_of(folder)
    assert next(frames).shape == FRAME.shape
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(
        DatasetError, match=r"grow can no longer be read \(No such file or directory\); find out where it went"
    ):
        next(frames)


def test_a_file_s_name_is_no_command_to_the_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("nerveseg.live_view.live_frames.WRITTEN_IN", 0.0)
    (tmp_path / "1\x1b[31mred\n.png").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "2.png"), FRAME)
    cv2.imwrite(str(tmp_path / "0.png"), FRAME)
    frames = frames_of(tmp_path)
    soon(frames)
    (tmp_path / "3\x1b[31mred\n.png").write_bytes(b"no image")
    threading.Timer(0.3, cv2.imwrite, [str(tmp_path / "4.png"), FRAME]).start()
    soon(frames)
    told = capsys.readouterr().err
    assert "\\x1b[31mred\\n" in told
    assert told.rstrip("\n").isprintable()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export(segmenter(4), folder, FLOAT, VAL, "gan")
    return folder


def command(*arguments):
    return [sys.executable, "-m", "nerveseg.cli", "watch", *map(str, arguments)]


@pytest.mark.slow
def test_the_command_says_at_its_end_how_many_frames_it_dropped(exported, tmp_path):
    path = video(tmp_path / "loop.avi", [FRAME] * 20, 30)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    first, last = run(*command(path, "--model", exported, "--port", free_port()), env=environment).splitlines()
    assert first.startswith(f"{path} is outlined at http://127.0.0.1:")
    shown, dropped = int(last.split()[0]), int(last.split(", ")[1].split()[0])
    assert shown + dropped == 20
    assert shown > 1


@pytest.mark.slow
def test_the_command_says_at_once_that_its_model_has_learnt_from_simulated_frames_alone(tmp_path):
    path = video(tmp_path / "loop.avi", [FRAME] * 3, 30)
    model = write_threshold_model(tmp_path / "model", simulated_only=True)
    done = attempt(
        *command(path, "--model", model, "--port", free_port()), env=os.environ | {"PYTHONPATH": str(ROOT / "src")}
    )
    assert done.stderr == f"{SIMULATED_ONLY}\n"
    assert done.returncode == 0


@pytest.mark.slow
def test_ctrl_c_ends_the_command_without_an_error(exported, tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), FRAME)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    port = free_port()
    line = command(tmp_path, "--model", exported, "--port", port)
    with started(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert "is outlined at" in process.stdout.readline()
        assert any(state["shown"] == 1 for state in events(port))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert "1 frame shown, 0 dropped" in out


@pytest.mark.parametrize("simulated_only", [True, False])
def test_the_page_says_so_too(simulated_only):
    model = Slow()
    model.simulated_only = simulated_only
    with watched(flat(1, 0), model) as port:
        assert (SIMULATED_ONLY in ask(port, "/").read().decode()) == simulated_only


@pytest.mark.slow
def test_the_page_in_a_browser_shows_picture_and_numbers_of_one_frame(chromium):
    """Though they come seconds apart, when a browser would show a picture of a stream only with the next one."""
    look = """() => {
        const image = document.querySelector("img"), canvas = document.createElement("canvas");
        if (image.naturalWidth != 80) return null;
        canvas.width = 80, canvas.height = 48;
        canvas.getContext("2d").drawImage(image, 0, 0);
        return [canvas.getContext("2d").getImageData(70, 40, 1, 1).data[2], +document.getElementById("area").textContent];
    }"""
    heard, seen, loaded = [], [], threading.Event()

    def frames():
        loaded.wait(PATIENCE)
        yield from flat(4, 1.5)

    with watched(frames(), Numbering()) as port:
        tab = chromium.new_page()
        tab.on("pageerror", lambda error: heard.append(str(error)))
        tab.on("console", lambda message: heard.append(message.text))
        tab.goto(f"http://127.0.0.1:{port}/", wait_until="domcontentloaded")
        loaded.set()
        end = time.monotonic() + PATIENCE
        while not tab.get_by_text("the source has ended").is_visible():
            assert time.monotonic() < end
            seen += filter(None, [tab.evaluate(look)])
            time.sleep(0.05)
        assert tab.inner_text("#presence") == "0.75"
    assert len({area for _, area in seen}) >= 3
    assert all(abs(level - area) < 5 for level, area in seen), seen
    assert heard == []


@pytest.mark.slow
def test_the_page_says_how_old_its_frame_is_where_no_other_comes_and_that_there_is_no_connection(chromium):
    def once():
        yield FRAME
        stalls.wait(PATIENCE)
        yield FRAME
        time.sleep(1)

    stalls, tab = threading.Event(), chromium.new_page()
    with watched(once(), Slow()) as port:
        tab.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
        tab.get_by_text("a nerve is outlined").wait_for()
        assert tab.inner_text("#age") == ""
        tab.get_by_text("no new frame").wait_for()
        assert 5 <= int(tab.inner_text("#age").split()[3]) < 60
        tab.reload(wait_until="commit")
        tab.get_by_text("no new frame").wait_for(timeout=3000)  # its age is that of the frame, not of the page
        stalls.set()
        tab.get_by_text("a nerve is outlined").wait_for()
        tab.get_by_text("the source has ended").wait_for()
    assert tab.inner_text("#age") == ""
    with page(Watch(Slow(), iter(())), free_port()) as address:
        tab.goto(address, wait_until="commit")
        tab.get_by_text("waiting for a frame").wait_for()
    tab.get_by_text("no connection").wait_for()
