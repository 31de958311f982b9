"""What is said of a store names no password."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException

from nerveseg.errors import StoreUnreachableError, TrackingError
from nerveseg.tracking.store import open_store, store_uri
from nerveseg.tracking.store_errors import failing_clearly, public
from processes import free_port

PASSWORDS = st.text("xyzXYZ789@:/?#[]&=%+!;,'\"", min_size=4).filter(lambda text: sum(map(str.isalnum, text)) > 3)
USERS = st.sampled_from(["", "ada", "ada@example.org", "example\\ada", "a.b+c@host", "team/ada"])
SCHEMES = st.sampled_from(
    ["http", "HTTPS", "postgresql", "mysql+pymysql", "mssql+pyodbc", "htp", "postgres", "databricks"]
)
REST = st.sampled_from(["", ":5000", ":99999", ":port", "/team", ":5432/db?sslmode=require", "/#/experiments/1"])


@given(SCHEMES, USERS, PASSWORDS, REST)
def test_no_password_of_an_address_is_shown_whatever_the_login(scheme, user, password, rest):
    address = f"{scheme}://{user}:{password}@127.0.0.1{rest}"
    assume(password not in f"{user}127.0.0.1{rest}")
    shown = public(f"MLflow's store {address} does not answer (refused)")
    hidden = rest.removeprefix(":port")  # an address has numbers there, so that it may be a password
    assert shown == f"MLflow's store {scheme}://***@127.0.0.1{hidden} does not answer (refused)"


@pytest.mark.parametrize(
    "address",
    [
        "TOKEN@host",
        "TOKEN@host:5000/a",
        "ada@host:TOKEN",
        "ada@host:TOKEN/a",
        "TOKEN:@host",
        "a/TOKEN@host",
        "TOKEN:x@host",
    ],
)
@pytest.mark.parametrize("scheme", ["https://", "postgresql://", "plugin://", "", "'"])
def test_no_token_is_shown_wherever_it_stands_in_a_login(tmp_path, monkeypatch, scheme, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", scheme + address)
    try:
        shown = public(store_uri(tmp_path))
    except TrackingError as error:
        shown = str(error)
    assert "TOKEN" not in shown
    assert "host" in shown


def test_a_path_with_an_at_sign_is_no_login():
    for path in ("sqlite:////home/ada@uni/mlflow.db", "file:///home/ada@uni/a:b"):
        assert public(f"{path} is here") == f"{path} is here"


@given(st.sampled_from(["password", "sslpassword", "PWD", "token", "access_key", "sig", "X-Amz-Signature"]), PASSWORDS)
def test_no_secret_of_a_query_is_shown(key, password):
    secret = password.replace("&", "")
    shown = public(f"postgresql://h/db?user=ada&{key}={secret}&sslmode=require")
    assert secret not in shown
    assert "sslmode=require" in shown


@given(
    SCHEMES,
    USERS,
    PASSWORDS.map(lambda text: text[:2] + " " + text[2:]) | PASSWORDS,
    REST,
    st.sampled_from(["{}", "'{}'", "{} ", "{} x"]),
    st.booleans(),
)
def test_a_store_that_is_refused_or_shown_names_no_password(
    tmp_path_factory, scheme, user, password, rest, typed, known
):
    address = f"{user}:{password}@127.0.0.1{rest}"
    assume(not {password, *filter(None, password.split("@"))} & {user, rest})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", typed.format(f"{scheme}://{address}" if known else address))
        try:
            shown = public(store_uri(tmp_path_factory.getbasetemp()))
        except TrackingError as error:
            shown = str(error)
    assert password not in shown


@pytest.mark.parametrize(
    "reason",
    [
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)",
        "Could not find a suitable TLS CA certificate bundle, invalid path: /nowhere.pem",
    ],
)
def test_a_certificate_that_is_not_trusted_is_told_with_the_variable_that_names_another(monkeypatch, reason):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://h")
    told = "cannot be used .*set MLFLOW_TRACKING_SERVER_CERT_PATH to the PEM file of the authority"
    with pytest.raises(TrackingError, match=told) as refused, failing_clearly("https://h"):
        raise MlflowException(f"API request to https://h failed with exception {reason}")
    assert not isinstance(refused.value, StoreUnreachableError)  # waiting would never help


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch", "name the server as its"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired", "have the server's"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "write http:// instead of https://"),
        ("Missing dependencies for SOCKS support.", r"`pip install 'requests\[socks\]'`"),
        ("Detected out-of-date database schema (found version 1)", "back it up and run `mlflow db upgrade`"),
    ],
)
def test_what_does_not_pass_by_waiting_is_told_with_its_remedy(reason, remedy):
    with pytest.raises(TrackingError, match=f"cannot be used .*; {remedy}") as refused, failing_clearly("https://h"):
        raise MlflowException(f"API request to https://h failed with exception {reason}")
    assert not isinstance(refused.value, StoreUnreachableError)


def test_a_proxy_that_refuses_is_not_taken_for_the_store(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org")
    with pytest.raises(StoreUnreachableError, match="the proxy in HTTP_PROXY or HTTPS_PROXY: Connection refused"):
        open_store("nerveseg")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "postgresql"])
@pytest.mark.parametrize("user", ["ada", "ada@example.org"])
def test_no_part_of_a_password_is_in_the_reason_for_which_a_store_cannot_be_used(repo, monkeypatch, scheme, user):
    for character in "@:/?#[]% &='":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://{user}:qzx{character}jvk@127.0.0.1:{free_port()}/runs")
        with pytest.raises(TrackingError) as refused:
            open_store("nerveseg")
        assert not any(part in str(refused.value) for part in ("qzx", "jvk")), character
