"""Whether an adversarial training went as it should, read from its history and told in plain words."""

import pandas as pd

from nerveseg.refinement.adversarial_training import ADVERSARIAL, CONTROL, diverged_in

LONG, LEAST = 3, 2  # epochs that tell something: the last ones, or all that a critic had if they are so many
ALWAYS_RIGHT, GUESSES = 0.98, (0.47, 0.53)  # accuracy of a critic
ALIKE = 1e-3  # distance of the features of truth and prediction, below which a critic tells no difference
AWAY = 3.0  # times the distance of when the critic joined


def remarks_on(history: pd.DataFrame, critic: str) -> list[str]:
    """A sentence for each thing that went wrong, none where all is well.

    Args:
        history: of `AdversarialTraining.fit`, a row an epoch.
        critic: the kind, as `gan.critic` names it.
    """
    remarks = []
    for arm, lower in {CONTROL: "gan.lr", ADVERSARIAL: "gan.lr or gan.critic_lr"}.items():
        if (arm == CONTROL or critic != "none") and (epoch := diverged_in(history, arm)):
            remarks.append(
                f"The {arm} refiner diverged in epoch {epoch}: a loss was no longer a number, and it was trained no further; "
                f"lower {lower}."
            )
    judged = history.dropna(subset=["critic_loss"])
    if critic == "none" or judged.empty:
        return remarks
    last, epochs = judged.tail(LONG), f"the last {min(LONG, len(judged))} epochs"
    long = len(judged) >= LEAST
    accuracy = last["critic_accuracy"]
    if long and (accuracy >= ALWAYS_RIGHT).all():
        remarks.append(
            f"The critic was right in {accuracy.mean():.0%} of its judgements in {epochs}: it ran away from the refiner, "
            "which learns nothing from it any more; lower gan.critic_lr or gan.critic_rest."
        )
    if long and accuracy.between(*GUESSES).all():
        remarks.append(
            f"The critic was right in {accuracy.mean():.0%} of its judgements in {epochs}, as often as by guessing: it tells "
            "refined masks from annotated ones no better than chance, so that it adds only noise; raise gan.critic_lr, or "
            "set gan.critic to none."
        )
    if critic == "features" and long and (last["adversarial_loss"].abs() < ALIKE).all():
        remarks.append(
            f"The critic's features of refined and of annotated masks were alike in {epochs}: it has collapsed; raise "
            "gan.critic_lr."
        )
    if critic == "features" and long and (last["adversarial_loss"] > AWAY * judged["adversarial_loss"].iloc[0]).all():
        remarks.append(
            f"In {epochs} the critic's features of refined and of annotated masks lay more than {AWAY:g} times as far apart "
            "as when it joined: it ran away from the refiner; lower gan.critic_lr."
        )
    start, ended = judged["adversarial_segmentation_loss"].iloc[0], last["adversarial_segmentation_loss"].iloc[-1]
    if ended > 1.2 * start:
        remarks.append(
            f"The refiner's segmentation loss rose from {start:.3f} to {ended:.3f} after the critic had joined: the critic "
            "outweighs the annotation; lower gan.adversarial_weight."
        )
    return remarks
