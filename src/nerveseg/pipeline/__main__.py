"""`python -m nerveseg.pipeline STAGE`: run the script of a stage, and copy what it reports and writes to MLflow.

The script does not know MLflow. A failure of MLflow does not stop it unless `tracking.required` is set; that MLflow is not
installed does, before it starts.
"""

import sys
from collections import deque
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from nerveseg.errors import TrackingError, told_plainly
from nerveseg.pipeline.child import Child
from nerveseg.pipeline.outputs_to_mlflow import AFTER, AS_IT_TRAINS
from nerveseg.processes.parent import end_cleanly, end_with_the_pipeline
from nerveseg.registry.project_params import ProjectParams, load_project_params
from nerveseg.text.missing_packages import not_installed
from nerveseg.tracking.mirror import stage_run

TRAININGS = ("train_unet", "train_gan")


def run_stage(stage: str, params: ProjectParams) -> None:
    """Run a stage to its end. Raise SystemExit with its exit code if it fails, TrackingError as `stage_run` does."""
    if params.tracking.enabled and find_spec("mlflow") is None:
        raise TrackingError(f"{not_installed('mlflow')}, or turn tracking off: tracking.enabled: false in params.yaml")
    with Child(stage) as child:
        messages = child.messages()
        first = next(messages, {}) if stage in TRAININGS else {}
        if not params.tracking.enabled or first.get("training", "") is None:  # a worker, whose chief reports
            deque(messages, maxlen=0)  # reads them all
            child.end()
            return
        record = Path(first["training"]) if first else None
        with stage_run(stage, params, record) as run:
            if first and (mirror := AS_IT_TRAINS.get(stage)):
                mirror(run, params)
            for message in messages:
                if "epoch" in message:
                    run.log_epoch(message["epoch"], message["values"])
                elif "facts" in message:
                    run.log_facts(message["facts"])
            child.end()
            if mirror := AFTER.get(stage):
                mirror(run, params)


def main() -> None:
    with told_plainly():
        end_cleanly()
        end_with_the_pipeline()
        run_stage(_stage(sys.argv[1:]), load_project_params())


def _stage(typed: Sequence[str]) -> str:
    """Return the requested stage; SystemExit if there is not one argument, or no such stage."""
    known = sorted(path.stem for path in Path("stages").glob("*.py"))
    if len(typed) == 1 and typed[0] in known:
        return typed[0]
    named = " ".join(typed) or "nothing"
    raise SystemExit(
        f"error: `python -m nerveseg.pipeline` was given {named}; give it one stage"
        + (f": {', '.join(known)}" if known else ", in the repository's root, which has a folder stages")
    )


if __name__ == "__main__":
    main()
