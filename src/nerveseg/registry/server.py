"""`nerveseg serve`: a registered model (`pyfunc_model`) behind a port of this machine, answered by `server_app`."""

import os
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import cast

from nerveseg.errors import ModelError
from nerveseg.local_server import HOST, limited_server, listening
from nerveseg.registry.download import MODEL, downloaded, is_uri, local_path
from nerveseg.registry.server_app import MEGABYTE, Application, Predict
from nerveseg.text.foreign_text import on_one_line

CONNECTIONS = 64


def serve(model: str, port: int, limit: float) -> None:
    """Serve a registered model, by its MLflow URI or folder, until it is stopped; `limit` is in megabytes a request."""
    with listening(port) as listener:
        app = Application(_loaded(model), round(limit * MEGABYTE))
        print(f"{model} answers at http://{HOST}:{port}/invocations (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):  # uvicorn has closed its connections by then
            limited_server(app, CONNECTIONS, "warning").run([listener])
    sys.stdout.flush()
    os._exit(0)  # Python would wait for the model, which may compute for a client that has been cut off


def _loaded(model: str) -> Predict:
    if sys.stderr.isatty():
        print(f"loading {model} ...", file=sys.stderr)
    with downloaded(model, MODEL) if is_uri(model) else nullcontext(_folder(model)) as folder:
        from mlflow.pyfunc import load_model

        # A model brings the code that it was trained with, which may differ from this one.
        for name in [name for name in sys.modules if name.partition(".")[0] == "nerveseg"]:
            del sys.modules[name]
        try:
            return cast("Predict", load_model(str(folder)).predict)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - of MLflow, of YAML, or of the code that the model brings
            raise ModelError(
                f"{model} cannot be loaded ({on_one_line(error)}); name another version, or register it again with "
                "`dvc repro -f -s evaluate`"
            ) from None


def _folder(model: str) -> Path:
    folder = local_path(model)
    if not (folder / "MLmodel").is_file():
        raise ModelError(
            f"{model} holds no MLmodel; name a registered model, such as models:/nerveseg@champion, or a folder of MLflow's"
        )
    return folder
