import numpy as np
import pandas as pd
import pytest

from nerveseg.refinement.diagnostics import remarks_on


def history(accuracy, *, loss=0.4, adversarial=0.5, joined=5):
    """The U-Net as it came, two epochs of warm-up, then `joined` with a critic."""

    def column(value):
        return [np.nan] * 3 + [*np.broadcast_to(value, joined)]

    return pd.DataFrame(
        {
            "epoch": range(3 + joined),
            "control_segmentation_loss": [np.nan, *[0.5] * (2 + joined)],
            "adversarial_segmentation_loss": [np.nan, 0.5, 0.5, *np.broadcast_to(loss, joined)],
            "adversarial_loss": column(adversarial),
            "critic_loss": column(1.5),
            "critic_accuracy": column(accuracy),
        }
    )


def test_a_training_as_it_should_be_gets_no_remark():
    assert remarks_on(history(0.7), "patch") == []
    assert remarks_on(history(np.nan), "features") == []
    assert remarks_on(history(np.nan), "none") == []
    assert remarks_on(history(0.7, joined=0), "patch") == []


@pytest.mark.parametrize(
    ("critic", "accuracy", "changes", "told"),
    [
        ("patch", 0.99, {}, "right in 99% of its judgements in the last 3 epochs: it is too strong"),
        ("patch", 0.5, {}, "right in 50% of its judgements in the last 3 epochs, no more often than by chance"),
        ("features", np.nan, {"adversarial": 1e-5}, "it collapsed; raise gan.critic_lr"),
        (
            "features",
            np.nan,
            {"adversarial": [0.1, 0.2, 0.4, 0.5, 0.6]},
            "it is too strong for the refiner; lower gan.critic_lr",
        ),
        ("patch", 0.7, {"loss": [0.4, 0.4, 0.4, np.nan, np.nan]}, "The adversarial refiner diverged in epoch 6"),
        ("patch", 0.7, {"loss": [0.4, 0.4, 0.5, 0.6, 0.7]}, "rose from 0.400 to 0.700 .* lower gan.adversarial_weight"),
    ],
)
def test_what_went_wrong_is_told_in_plain_words_with_what_to_do(critic, accuracy, changes, told):
    (remark,) = remarks_on(history(accuracy, **changes), critic)
    assert pd.Series([remark]).str.contains(told).all(), remark


def test_a_critic_is_not_blamed_for_a_single_epoch_nor_for_the_last_two_of_many():
    assert remarks_on(history([0.7, 0.7, 0.7, 0.99, 0.99]), "patch") == []
    assert remarks_on(history(0.99, joined=1), "patch") == []


def test_in_a_short_training_all_epochs_of_the_critic_count():
    (remark,) = remarks_on(history([0.49, 0.52], joined=2), "patch")
    assert "in the last 2 epochs, no more often than by chance" in remark
    assert remarks_on(history([0.49, 0.6], joined=2), "patch") == []
