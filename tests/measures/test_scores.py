"""The table of measures and scores, from which tables, report, plots, card and reference are made."""

import numpy as np
import pandas as pd
import pytest

from nerveseg.measures import scores
from nerveseg.measures.cases import case_measures, on_common_frames, summary
from nerveseg.measures.scores import MEASURES, SCORES

COUNTED = {"frames_outlined", "presence_auc", "ece", "ece_doubtful"}
NERVE = np.eye(12, dtype=bool)


def test_every_measure_stands_in_the_cases_and_every_score_that_is_a_mean_in_their_summary():
    cases = pd.DataFrame([case_measures(NERVE, NERVE), case_measures(NERVE, ~NERVE)])
    assert MEASURES.keys() <= set(cases)
    assert summary(on_common_frames({"unet": cases})["unet"]).keys() == SCORES.keys() - COUNTED


@pytest.mark.parametrize(
    "name", ["HEADLINE", "OF_PARTS", "OF_ARMS", "AT_THRESHOLDS", "ON_CARD", "IN_ABLATION", "WITH_GAIN"]
)
def test_every_selection_names_scores_of_the_table(name):
    assert set(getattr(scores, name)) <= SCORES.keys()


def test_the_report_shows_measures_frame_by_frame_that_frames_have():
    assert set(scores.OF_FRAMES) <= MEASURES.keys()


def test_no_two_scores_have_one_name_in_the_report():
    shown = [score.name for score in SCORES.values() if score.over is not scores.DRAWN]
    assert len(set(shown)) == len(shown)
