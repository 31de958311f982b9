"""The processes that DVC starts. They say so if the Python that DVC found in PATH is not the environment's."""

import sys
from importlib.util import find_spec

if find_spec("pydantic") is None:
    raise SystemExit(f"error: {sys.executable} lacks nerveseg's packages; activate them with `. .venv/bin/activate`")
