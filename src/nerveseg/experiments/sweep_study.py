"""A sweep as an Optuna study in a SQLite file.

Proposals depend only on `seed`, the trial's number and the trials before it: the sampler is seeded anew for each. An
interrupted trial resumes under its number and with its values.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna import Study, Trial
from optuna.trial import TrialState

from nerveseg.errors import ParamsError

__all__ = ["Study", "Trial", "TrialState"]
STARTUP = 3  # trials that must end before one may be stopped early: a median of fewer says little
_IDENTITY = "identity"


def open_study(file: Path, *, minimise: bool, warmup: int, identity: Mapping[str, Any]) -> Study:
    """Open the study in `file`, or create it; ParamsError if it was made with another `identity`.

    A trial runs for `warmup` epochs, and then as long as the best point of its curve is above the median of earlier
    trials' at the same epoch. Unlike successive halving, this needs no plan of how many trials or epochs there will be.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{file}", study_name=file.stem, load_if_exists=True,
        direction="minimize" if minimise else "maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=warmup),
    )  # fmt: skip
    before = study.user_attrs.get(_IDENTITY)
    if before is None:
        study.set_user_attr(_IDENTITY, dict(identity))
    elif different := [key for key, value in identity.items() if before.get(key) != value]:
        told = ", ".join(f"{key} {before.get(key)}, now {identity[key]}" for key in different)
        raise ParamsError(
            f"the sweep {file.stem} was begun with other settings ({told}); restore them to resume it, or choose another name"
        )
    return study


def next_trial(study: Study, seed: int) -> Trial:
    known = study.get_trials(deepcopy=False)
    interrupted = [trial for trial in known if trial.state is TrialState.RUNNING]
    number = interrupted[0].number if interrupted else len(known)
    entropy = np.random.SeedSequence([seed, number])
    study.sampler = optuna.samplers.TPESampler(seed=int(entropy.generate_state(1)[0]))
    if interrupted:
        return Trial(study, interrupted[0]._trial_id)  # noqa: SLF001 - Optuna has no public way to resume one
    return study.ask()


def ended(study: Study) -> int:
    """Return how many trials have ended, in any way."""
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def reported(study: Study, number: int) -> Mapping[int, float]:
    """Return the points of a trial's curve that the study has, by epoch."""
    return study.get_trials(deepcopy=False)[number].intermediate_values


def trials_table(study: Study, score: str) -> pd.DataFrame:
    """Return a row for each trial: number, state, score if it has one, number of epochs seen, values."""
    # Optuna gives a stopped trial a value as well, the last point of its curve.
    scores = [trial.value if trial.state is TrialState.COMPLETE else float("nan") for trial in study.trials]
    return pd.DataFrame(
        {"trial": trial.number, "state": trial.state.name.lower(), score: value}
        | {"epochs": len(trial.intermediate_values), **trial.params}
        for trial, value in zip(study.trials, scores, strict=True)
    )
