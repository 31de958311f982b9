"""All of `params.yaml`: the sections of the stages, and `tracking` and `gate`, which no stage reads."""

from pathlib import Path

from nerveseg.params.file import checked, read_params
from nerveseg.registry.gate import GateParams
from nerveseg.tracking.settings import TrackedParams


class ProjectParams(TrackedParams):
    gate: GateParams


def load_project_params(path: Path | str = "params.yaml") -> ProjectParams:
    """Read and check every parameter, so that a wrong one raises ParamsError before any work starts."""
    return checked(ProjectParams, read_params(path), str(path))
