"""The `nerveseg` commands, which `cli` parses. Each returns the exit code."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from nerveseg.errors import ModelError
from nerveseg.repository import repository_root
from nerveseg.text.foreign_text import on_one_line
from nerveseg.text.wording import counted

# The packages that an interrupted prediction depends on.
_COMPUTES = (
    "imaging", "dataset", "inference", "refinement", "saved_models", "training", "unet", "annotation_files", "file_prediction",
)  # fmt: skip


def check(directory: Path, *, as_json: bool, clear_names: bool) -> int:
    """Check every file of a folder as `preprocess` would, and print the findings; 1 if it or a file cannot be used, else 0."""
    from nerveseg.preprocessing.audit import take_inventory
    from nerveseg.preprocessing.audit_text import summary, text
    from nerveseg.preprocessing.packing import verdict
    from nerveseg.registry.project_params import load_project_params

    params = load_project_params()
    target = (params.preprocess.height, params.preprocess.width)
    inventory = take_inventory(directory, params.data, repository_root(), target, clear_names=clear_names)
    usable, would = verdict(inventory, params.data, params.split, params.seed)
    print(json.dumps(summary(inventory, would), indent=2) if as_json else text(inventory, would))
    return 0 if usable and not inventory.bad and not inventory.leaks else 1


def predict(
    paths: Sequence[Path],
    out: Path,
    model: str | Path,
    grey_range: Sequence[float] | None,
    mask_format: str,
    *,
    kaggle: bool,
) -> int:
    """Segment images and loops with the model of a folder, config file or MLflow URI; 1 if one is not read, else 0."""
    from nerveseg.file_prediction.prediction_files import check_outputs, write_predictions
    from nerveseg.file_prediction.sources import sources_in
    from nerveseg.files.fingerprint import digest_of
    from nerveseg.imaging.grey_range import GreyRange
    from nerveseg.inference.predictor import SIMULATED_ONLY
    from nerveseg.registry.download import predictor_folder
    from nerveseg.saved_models.loading import load_predictor

    sources = sources_in(paths, mask_format)
    check_outputs(sources, out, kaggle=kaggle)
    with predictor_folder(str(model)) as folder:
        predictor, identity = load_predictor(folder), digest_of({}, [folder], _COMPUTES)
    scale = GreyRange.said(grey_range) if grey_range else predictor.grey_range
    of_real_frames = not sources.simulated
    done = write_predictions(sources, out, predictor, identity, scale, kaggle=kaggle)
    print(f"{counted(done.frames, 'frame')} segmented into {out}: {done}", *sources.told(), sep="\n", flush=True)
    if predictor.simulated_only and of_real_frames:
        print(SIMULATED_ONLY, file=sys.stderr)
    return 1 if done.failed else 0


def folds(experiments: Sequence[str], ensemble: Path | None) -> int:
    """Print the scores of this commit's DVC experiments, or of the named ones, as a group; or write their ensemble."""
    from nerveseg.experiments import cross_validation

    runs, left_out = cross_validation.experiment_runs(experiments)
    groups = cross_validation.groups_of(runs)
    for name, reason in left_out.items():
        print(f"left out: {on_one_line(name)} {on_one_line(reason)}", file=sys.stderr)
    if ensemble is None:
        print(cross_validation.report(groups))
        return 0
    if not experiments and (missing := cross_validation.missing_folds(groups[0])):
        raise ModelError(
            f"folds {', '.join(map(str, missing))} have no finished run; wait until `dvc queue status` shows none running, "
            "or name the experiments to use"
        )
    members = cross_validation.write_ensemble(groups, ensemble)
    print(f"{len(members)} members in {ensemble}: {', '.join(run.name for run in members)}")
    if test := members[0].params.get(cross_validation.TEST):
        named = f"-S '{cross_validation.TEST}=[{','.join(map(str, test))}]' "
        print(f"next: dvc add {ensemble} && dvc exp run {named}-S evaluate.ensemble={ensemble}")
    else:
        print("its members were trained on each other's test subjects: it can predict, but not be scored on these data")
    return 0


def gate(base: str, *, md: bool) -> int:
    """Compare what ships here with a commit's model or a registered one, and print the table; 1 if it fails, else 0."""
    from nerveseg.registry.gate import judge
    from nerveseg.registry.gate_table import as_markdown, as_text
    from nerveseg.registry.project_params import load_project_params
    from nerveseg.registry.shipped_cases import cases_here, cases_of

    params = load_project_params()
    verdict = judge(cases_of(base), cases_here(), params.gate, params.evaluate.bootstrap, params.seed)
    print((as_markdown if md else as_text)(verdict, base))
    return 0 if verdict.passed else 1


def promote(version: int | None) -> int:
    """Make the challenger, or this version, of the registered model the champion if it passes the gate; 1 if not, else 0."""
    from nerveseg.registry.project_params import load_project_params
    from nerveseg.registry.promotion import promote as promoted

    promotion = promoted(load_project_params(), version)
    print(promotion.told)
    return 0 if promotion.promoted else 1


def scores() -> int:
    """Print the scores of the pipeline's last run."""
    from nerveseg.pipeline.score_summary import score_summary

    print(score_summary())
    return 0


def serve(model: str, port: int, limit: float) -> int:
    from nerveseg.registry.server import serve as serve_with_mlflow

    serve_with_mlflow(model, port, limit)
    return 0


def watch(source: Path | int, model: str | Path, port: int, grey_range: Sequence[float] | None, *, loop: bool) -> int:
    """Outline live frames on a local page until the source ends or Ctrl-C, and print how many were shown and dropped."""
    from nerveseg.imaging.grey_range import GreyRange
    from nerveseg.inference.predictor import SIMULATED_ONLY
    from nerveseg.live_view.live import Watch
    from nerveseg.live_view.live_frames import frames_of
    from nerveseg.live_view.page import page
    from nerveseg.registry.download import predictor_folder
    from nerveseg.saved_models.loading import load_predictor

    with predictor_folder(str(model)) as folder:
        predictor = load_predictor(folder)
    if predictor.simulated_only:
        print(SIMULATED_ONLY, file=sys.stderr)
    scale = GreyRange.said(grey_range) if grey_range else predictor.grey_range
    watching = Watch(predictor, frames_of(source, scale, loop=loop))
    with page(watching, port) as address:
        print(f"{source} is outlined at {address} (Ctrl-C ends it)", flush=True)
        try:
            watching.run()
        except KeyboardInterrupt:
            watching.stop()
        _, _, state = watching.wait(-1)
    told = f"{counted(state.shown, 'frame')} shown, {state.dropped} dropped"
    print(f"{told}; {state.delay:.1f} ms from a frame to its outline (median of the last)")
    return 0


def sweep(name: str, trials: int, values: Sequence[str], score: str) -> int:
    """Run a sweep to its end; 1 if no trial has a score, 130 if it was interrupted, else 0."""
    from nerveseg.experiments.sweep import sweep as run_sweep

    return run_sweep(name, trials, values, score)


def sync() -> int:
    """Send what MLflow's store missed while it was down, and what was set aside; 1 if something is set aside again, else 0."""
    from nerveseg.registry.project_params import load_project_params
    from nerveseg.tracking.journal import FOLDER, aside, in_work, journals
    from nerveseg.tracking.outbox import refusals
    from nerveseg.tracking.outbox import sync as deliver

    experiment = load_project_params().tracking.experiment  # first: outside of a repository nothing would seem to wait
    if not journals() and not aside():
        print(f"nothing waits in {FOLDER}")
        return 0
    arrived, refused = deliver(experiment)
    busy = f"; {counted(running, 'stage')} left to another process" if (running := in_work()) else ""
    print(f"sent everything of {counted(arrived, 'stage')}{busy}")
    if refused:
        print(f"not sent: {refusals(refused)}", file=sys.stderr)
    return 1 if refused else 0
