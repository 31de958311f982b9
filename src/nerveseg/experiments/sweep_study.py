"""A sweep as an Optuna study in a SQLite file, which outlives the process.

What is proposed depends on `seed`, the number of the trial and the trials before it alone: the sampler is seeded anew for
each. A trial that was interrupted is gone on with under its number and with its values.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from nerveseg.errors import ParamsError

STARTUP = 3  # trials that end before one is stopped early: a median of fewer says little
_IDENTITY = "identity"


def open_study(file: Path, *, minimise: bool, warmup: int, identity: Mapping[str, Any]) -> optuna.Study:
    """The study in `file`, a new one where there is none. A trial is worth going on with for `warmup` epochs, and then as
    long as the best point of its curve is above the median of the earlier ones' at the same epoch; unlike successive
    halving that asks for no number of trials or epochs to plan with.

    Raises:
        ParamsError: the one that is there has another `identity`.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{file}",
        study_name=file.stem,
        direction="minimize" if minimise else "maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=warmup),
        load_if_exists=True,
    )
    before = study.user_attrs.get(_IDENTITY)
    if before is None:
        study.set_user_attr(_IDENTITY, dict(identity))
    elif different := [key for key, value in identity.items() if before.get(key) != value]:
        told = ", ".join(f"{key} {before.get(key)}, now {identity[key]}" for key in different)
        raise ParamsError(
            f"the sweep {file.stem} was begun with other settings ({told}); restore them to go on, or take another name"
        )
    return study


def next_trial(study: optuna.Study, seed: int) -> optuna.Trial:
    """The trial that was interrupted, or a new one."""
    known = study.get_trials(deepcopy=False)
    interrupted = [trial for trial in known if trial.state is TrialState.RUNNING]
    number = interrupted[0].number if interrupted else len(known)
    entropy = np.random.SeedSequence([seed, number])
    study.sampler = optuna.samplers.TPESampler(seed=int(entropy.generate_state(1)[0]))
    if interrupted:
        return optuna.Trial(study, interrupted[0]._trial_id)  # noqa: SLF001 - Optuna has no public way to go on with one
    return study.ask()


def ended(study: optuna.Study) -> int:
    """How many trials have ended, in whatever way."""
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def reported(study: optuna.Study, number: int) -> Mapping[int, float]:
    """The points of a trial's curve that the study has, by epoch."""
    return study.get_trials(deepcopy=False)[number].intermediate_values


def trials_table(study: optuna.Study, score: str) -> pd.DataFrame:
    """A row per trial: its number, how it ended, its score where it has one, how many epochs of it were seen, its values."""
    return pd.DataFrame(
        {"trial": trial.number, "state": trial.state.name.lower(), score: _score_of(trial)}
        | {"epochs": len(trial.intermediate_values), **trial.params}
        for trial in study.trials
    )


def _score_of(trial: FrozenTrial) -> float:
    """A trial that was stopped has a value too: the last point of its curve."""
    return trial.value if trial.state is TrialState.COMPLETE and trial.value is not None else float("nan")
