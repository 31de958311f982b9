"""What to type if a package is not installed: a wheel's core predicts, and extras bring the rest (pyproject.toml)."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import unquote, urlsplit

# Modules that an extra installs. The core has all others that nerveseg imports.
EXTRAS = {
    "annotations": ("highdicom", "nibabel", "pycocotools"),
    "train": (
        "dvc", "hydra", "jinja2", "joblib", "matplotlib", "nncf", "scipy", "segmentation_models", "shapely", "sklearn", "tensorflow",
        "tensorflow_io", "tf_keras", "threadpoolctl",
    ),
    "tracking": ("mlflow", "sqlalchemy"),
    "sweep": ("optuna",),
    "dask": ("distributed",),
    "s3": ("boto3", "botocore"),
    "server": ("psycopg2",),
}  # fmt: skip


def not_installed(module: str) -> str:
    """Return that a module is not installed and the command that installs its extra; '' if it is in none."""
    extra = next((extra for extra, modules in EXTRAS.items() if module in modules), "")
    return f"this needs {module}, which is not installed; run `{installing(extra)}`" if extra else ""


def installing(extra: str) -> str:
    """Return the command that installs an extra, from where nerveseg itself was installed: it may be on no index."""
    try:
        origin = json.loads(distribution("nerveseg").read_text("direct_url.json") or "{}")  # PEP 610
    except PackageNotFoundError:  # a served model brings the code alone
        origin = {}
    url = origin.get("url", "")
    if origin.get("dir_info", {}).get("editable"):
        return f"pip install -e '{unquote(urlsplit(url).path)}[{extra}]'"
    if source := origin.get("vcs_info"):
        url = f"{source['vcs']}+{url}@{source['commit_id']}"
    return f"pip install 'nerveseg[{extra}]{url and f' @ {url}'}'"
