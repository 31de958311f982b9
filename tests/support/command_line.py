"""`nerveseg` run in this process."""

import pytest

from nerveseg.cli import main
from nerveseg.file_prediction import prediction_files


def nerveseg(*arguments):
    """The exit code of `nerveseg ARGUMENTS`."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


class StoppedError(Exception):
    pass


def stopping_after(monkeypatch, count):
    """Predicting is interrupted after so many frames; what was predicted is counted on."""
    seen = []
    real = prediction_files.predict_loop

    def counted(predictor, frames):
        if len(seen) == count:
            raise StoppedError
        seen.extend(frames)
        return real(predictor, frames)

    monkeypatch.setattr(prediction_files, "predict_loop", counted)
    return seen


def interrupt(monkeypatch, *arguments):
    """Run a command until three frames are predicted."""
    with monkeypatch.context() as patch:
        stopping_after(patch, 3)
        with pytest.raises(StoppedError):
            main([str(argument) for argument in arguments])
