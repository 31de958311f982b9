"""What can be reported of a stage."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd


class StageRun:
    """The report of one stage. This one drops everything; it is used if tracking is off."""

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add one point to each curve."""

    def log_facts(self, facts: Mapping[str, Any]) -> None:
        """Report numbers on the stage's run alone, since another stage may use the same names."""

    def log_scores(self, scores: Mapping[str, Any]) -> None:
        """Report the numbers of `metrics.json` on the stage's run and its parent; nested keys are joined by dots."""

    def log_artifact(self, path: Path | str, folder: str = "") -> None:
        """Keep a file, or a folder with its name, below `folder`."""

    def log_report(self, path: Path) -> None:
        """Keep a file or a folder for readers, on the parent's page below `reports`."""

    def log_dataset(self, name: str, digest: str, source: str, context: str, manifest: pd.DataFrame) -> None:
        """Name the data behind this run. `digest` has at most 36 characters (DVC's `md5` has), `context` is a split."""

    def log_model(self, save: Callable[[Path], None], name: str, card: str) -> str:  # noqa: ARG002
        """Register a trained model as the new challenger.

        Args:
            save: writes a folder in MLflow's format, which does not exist yet.
            name: of the logged model.
            card: its description in the registry, in Markdown.

        Returns:
            The registered version's tag `nerveseg.key`, or an empty string if tracking is off.
        """
        return ""
