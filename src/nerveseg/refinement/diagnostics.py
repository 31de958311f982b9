"""What went wrong in an adversarial training, as sentences, from its history."""

import pandas as pd

from nerveseg.refinement.adversarial_training import ADVERSARIAL, CONTROL, diverged_in

LONG, LEAST = 3, 2  # epochs with a critic that count: the last three, or all if there are at least two
ALWAYS_RIGHT, GUESSES = 0.98, (0.47, 0.53)  # accuracy of a critic
ALIKE = 1e-3  # distance between the features of truth and prediction below which they are alike
AWAY = 3.0  # times the distance in the critic's first epoch


def remarks_on(history: pd.DataFrame, critic: str) -> list[str]:
    """Return a sentence for each thing that went wrong in a history of `AdversarialTraining.fit` with `gan.critic`."""
    remarks = []
    for arm, lower in {CONTROL: "gan.lr", ADVERSARIAL: "gan.lr or gan.critic_lr"}.items():
        if (arm == CONTROL or critic != "none") and (epoch := diverged_in(history, arm)):
            remarks.append(
                f"The {arm} refiner diverged in epoch {epoch}: its loss was no number, so training stopped; lower {lower}."
            )
    judged = history.dropna(subset=["critic_loss"])
    if critic == "none" or judged.empty:
        return remarks
    last, epochs = judged.tail(LONG), f"the last {min(LONG, len(judged))} epochs"
    long = len(judged) >= LEAST
    accuracy = last["critic_accuracy"]
    if long and (accuracy >= ALWAYS_RIGHT).all():
        remarks.append(
            f"The critic was right in {accuracy.mean():.0%} of its judgements in {epochs}: it is too strong for the refiner "
            "to learn from it; lower gan.critic_lr or gan.critic_rest."
        )
    if long and accuracy.between(*GUESSES).all():
        remarks.append(
            f"The critic was right in {accuracy.mean():.0%} of its judgements in {epochs}, no more often than by chance, "
            "so it adds only noise to the refiner's training; raise gan.critic_lr, or set gan.critic to none."
        )
    if critic == "features" and long and (last["adversarial_loss"].abs() < ALIKE).all():
        remarks.append(
            f"The critic's features of refined and of annotated masks were alike in {epochs}: it collapsed; raise gan.critic_lr."
        )
    if critic == "features" and long and (last["adversarial_loss"] > AWAY * judged["adversarial_loss"].iloc[0]).all():
        remarks.append(
            f"In {epochs} the critic's features of refined and of annotated masks were more than {AWAY:g} times as far apart "
            "as when it joined: it is too strong for the refiner; lower gan.critic_lr."
        )
    start, ended = judged["adversarial_segmentation_loss"].iloc[0], last["adversarial_segmentation_loss"].iloc[-1]
    if ended > 1.2 * start:
        remarks.append(
            f"The refiner's segmentation loss rose from {start:.3f} to {ended:.3f} after the critic had joined: the critic "
            "outweighs the annotation; lower gan.adversarial_weight."
        )
    return remarks
