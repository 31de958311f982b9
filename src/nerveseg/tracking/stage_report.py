"""Where a stage is reported to."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd


class StageRun:
    """Where a stage reports to. This one drops everything: it stands in where tracking is off."""

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """One point of each curve."""

    def log_facts(self, facts: Mapping[str, Any]) -> None:
        """Numbers that the stage came to, on its own run alone: another stage may call its own alike."""

    def log_scores(self, scores: Mapping[str, Any]) -> None:
        """The numbers of `metrics.json`, nested keys joined by dots, on the stage's run and on its parent."""

    def log_artifact(self, path: Path | str, folder: str = "") -> None:
        """A file, or a folder with its name, below `folder`."""

    def log_report(self, path: Path) -> None:
        """A file or a folder of what people read, on the parent's page below `reports`."""

    def log_dataset(self, name: str, digest: str, source: str, context: str, manifest: pd.DataFrame) -> None:
        """The data behind this run; `digest` has at most 36 characters (DVC's `md5` has), `context` is a split."""

    def log_model(self, save: Callable[[Path], None], name: str, card: str) -> str:  # noqa: ARG002
        """A trained model, registered as the new challenger.

        Args:
            save: writes a folder in MLflow's format, which does not exist yet.
            name: of the logged model.
            card: its description in the registry, Markdown.

        Returns:
            The registered version's tag `nerveseg.key`; empty where tracking is off.
        """
        return ""
