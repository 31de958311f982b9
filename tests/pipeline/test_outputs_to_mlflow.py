"""What becomes of the model that ships after `evaluate`."""

from types import SimpleNamespace

import pytest

from case_tables import cases
from nerveseg.pipeline import outputs_to_mlflow
from nerveseg.registry.promotion import DRAWS_NOTHING


class Run:
    def __init__(self):
        self.registered = []

    def log_model(self, save, name, card, flaw):
        self.registered.append((name, flaw))
        return "key"


@pytest.fixture
def registering(monkeypatch):
    """Registers a model with these areas of its masks; returns what was registered, and what was offered for promotion."""

    def register(area):
        run, offered = Run(), []
        params = SimpleNamespace(tracking=SimpleNamespace(model_name="nerveseg"))
        replaced = {
            "read_csv": lambda _: cases().assign(predicted_area=area),
            "model_card": lambda *_: "card",
            "DatasetInfo": SimpleNamespace(read=lambda _: None),
            "Scores": lambda _: None,
            "promote_where_asked": lambda _, version: offered.append(version),
        }
        for name, value in replaced.items():
            monkeypatch.setattr(outputs_to_mlflow, name, value, raising=False)
        outputs_to_mlflow._register(run, {}, params)
        return run.registered, offered

    return register


def test_a_model_that_draws_is_offered_as_the_challenger(registering, capsys):
    assert registering(100) == ([("nerveseg", "")], ["key"])
    assert capsys.readouterr().err == ""


def test_a_model_that_draws_nothing_is_registered_with_a_warning_but_not_as_the_challenger(registering, capsys):
    assert registering(0) == ([("nerveseg", DRAWS_NOTHING)], [])
    told = "warning: the model that ships outlines no nerve on any test frame, though some show one; it is registered, but "
    assert capsys.readouterr().err == f"{told}not as the challenger\n"
