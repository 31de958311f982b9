"""A name for what a result depends on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
EVERYTHING = (".",)  # all packages
_COMPUTE_WITH = ("tensorflow", "openvino")


def digest_of(params: Mapping[str, Any], inputs: Sequence[Path], packages: Sequence[str]) -> str:
    """Return a hexadecimal digest of parameters, files, code, and the versions of the libraries that compute.

    `params` are JSON values, `inputs` files and folders of which the bytes count, `packages` those of nerveseg, such as `unet`.
    """
    digest = hashlib.sha256(json.dumps([params, [*map(_version, _COMPUTE_WITH)]], sort_keys=True).encode())
    content = [file for path in inputs for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    for path in [*content, *(file for name in packages for file in sorted((PACKAGE / name).rglob("*.py")))]:
        if path.is_file():
            digest.update(path.name.encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _version(package: str) -> str:
    """Return the version of a package, '' if it is not installed: exported models do without TensorFlow."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
