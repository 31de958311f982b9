"""The address of the store that the user names."""

from pathlib import Path

import pytest

from nerveseg.errors import TrackingError
from nerveseg.tracking.store import store_uri


@pytest.fixture
def uri_of(tmp_path, monkeypatch):
    def read(typed):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", typed)
        return store_uri(tmp_path)

    return read


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("HTTP://Host:5000/Team", "http://Host:5000/Team"),
        ("PostgreSQL://Ada@h/DB", "postgresql+psycopg2://Ada@h/DB"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("https://host:5000/team@home", "https://host:5000/team@home"),
        ("postgresql://ada@example.org:a/b?c#d@h/db", "postgresql+psycopg2://ada@example.org:a/b?c#d@h/db"),
        ("https://ada@example.org:a:b@h", "https://ada@example.org:a:b@h"),
    ],
)
def test_an_address_is_read_whatever_its_login_and_the_case_of_its_scheme(uri_of, typed, read):
    assert uri_of(typed) == read


@pytest.mark.parametrize("typed", ["'sqlite:///mlflow.db'", '"http://localhost:5000"', "'localhost:5000'"])
def test_quotes_that_belong_to_no_address_are_told(uri_of, typed):
    with pytest.raises(TrackingError, match=r"MLFLOW_TRACKING_URI begins with .*, without quotes"):
        uri_of(typed)


def test_a_home_folder_that_nobody_expands_is_refused_with_the_address_that_is_meant(uri_of, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    with pytest.raises(TrackingError, match=r"set it to sqlite:////home/ada/runs/mlflow\.db$"):
        uri_of("sqlite:///~/runs/mlflow.db")
    for variable in ("$HOME", "${HOME}"):
        with pytest.raises(TrackingError, match=r"set it to sqlite:////home/ada/mlflow\.db$"):
            uri_of(f"sqlite:///{variable}/mlflow.db")
    assert uri_of("sqlite:///runs/~mlflow.db").endswith("/runs/~mlflow.db")


@pytest.mark.parametrize(
    "name",
    [
        "/data/${USER}/m.db",
        "/data/$USER/m.db",
        "%USERPROFILE%/m.db",
        "x/%TEMP%\\\\m.db",
        "US$1.db",
        "C:/Users/ada/m.db",
        "<path>/m.db",
    ],
)
def test_a_variable_that_is_not_set_or_a_drive_makes_no_folder_of_its_name(uri_of, monkeypatch, name):
    monkeypatch.delenv("USER", raising=False)
    with pytest.raises(TrackingError, match=r"mean nothing; set it to sqlite:/// and the path itself$"):
        uri_of(f"sqlite:///{name}")


@pytest.mark.parametrize(
    ("name", "read"), [("%C3%A9t%C3%A9.db", "été.db"), ("a%20b%20c.db", "a b c.db"), ("US%241.db", "US$1.db")]
)
def test_letters_in_their_codes_are_no_variables(uri_of, name, read):
    assert uri_of(f"sqlite:///{name}").endswith(f"/{read}")


@pytest.mark.parametrize("typed", ["azureml://eastus.api.example.org/x", "arn:aws:sagemaker:eu-1:1:server/x"])
def test_a_scheme_of_a_plugin_is_left_to_it_and_refused_without_it(uri_of, tmp_path, monkeypatch, typed):
    with pytest.raises(TrackingError, match="begins with"):
        uri_of(typed)
    plugin = tmp_path / "plugin-1.0.dist-info" / "entry_points.txt"
    plugin.parent.mkdir()
    plugin.write_text(f"[mlflow.tracking_store]\n{typed.partition(':')[0]} = plugin:store\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert uri_of(typed) == typed


@pytest.mark.parametrize("name", ["feature%2Fx", "50%25 #2", "what?x"])
def test_a_path_is_written_so_that_mlflow_makes_no_folder_of_it(tmp_path, name):
    (tmp_path / name).mkdir()
    literal = Path(store_uri(tmp_path / name).removeprefix("sqlite:///"))  # as MLflow reads it
    assert literal.parent in (Path(), tmp_path / name)
