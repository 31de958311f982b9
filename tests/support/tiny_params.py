"""Params whose pipeline runs in seconds."""

from pathlib import Path
from typing import Any

import yaml

from nerveseg.params.data import PhantomParams
from nerveseg.params.file import Params
from nerveseg.registry.project_params import load_project_params
from paths import ROOT

TINY = {
    "phantom": {"subjects": 6, "frames_per_subject": 5, "width": 128, "height": 96},
    "split": {"val_fraction": 0.2, "test_fraction": 0.3},
    "preprocess": {"width": 64, "height": 32, "shards": 2},
    "augment": {"variants": 1},
    "lr": 1e-2,
    "unet": {
        "encoder": "plain",
        "encoder_weights": None,
        "stem": 1,
        "base_filters": 4,
        "depth": 1,
        "epochs": 4,
        "batch_size": 4,
        "ema_decay": 0.9,
    },
    "gan": {"base_filters": 4, "epochs": 2, "warmup_epochs": 1, "batch_size": 4},
    "postprocess": {
        "thresholds": [0.05, 0.5],
        "min_areas": [0.0, 0.01],
        "presences": [0.0, 0.3],
        "score": "dice_nerve",
    },
    "evaluate": {"severities": [3], "bootstrap": 100},
    "visualize": {"cases": 2, "dpi": 60},
    "tracking": {"enabled": False},
}


def write_params(path: Path, changes: dict[str, Any] | None = None) -> Params:
    """The committed params with the tiny ones laid over them, and `changes` over those."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for overlay in (TINY, changes or {}):
        for key, value in overlay.items():
            content[key] = content[key] | value if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_project_params(path)


def phantom_params(**changed: Any) -> PhantomParams:
    values = {"subjects": 3, "frames_per_subject": 6, "width": 290, "height": 210, "nerve_fraction": 0.42, **changed}
    return PhantomParams.model_validate(values)
