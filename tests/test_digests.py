from nerveseg.files import fingerprint
from nerveseg.files.fingerprint import digest_of


def test_the_digest_follows_the_code(tmp_path, monkeypatch):
    package = tmp_path / "package" / "training"
    package.mkdir(parents=True)
    monkeypatch.setattr(fingerprint, "PACKAGE", package.parent)
    found = set()
    for code in ("decay = 0.99", "decay = 0.9"):
        (package / "supervised.py").write_text(code)
        found.add(digest_of({}, [], ["training"]))
    (package / "supervised.py").rename(package / "other.py")
    found.add(digest_of({}, [], ["training"]))
    assert len(found) == 3


def test_the_digest_follows_params_and_inputs(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(b"one")
    first = digest_of({"lr": 1e-3}, [path], ["unet"])
    assert first == digest_of({"lr": 1e-3}, [path], ["unet"])
    assert first != digest_of({"lr": 1e-4}, [path], ["unet"])
    path.write_bytes(b"two")
    assert first != digest_of({"lr": 1e-3}, [path], ["unet"])
