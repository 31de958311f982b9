import numpy as np
import pandas as pd
import pytest

from nerveseg.evaluation.subgroups import SIZES, strata_table


def cases(model="unet", frames=120, seed=0):
    """Of 12 subjects, the first half of their frames with a nerve; Dice is the share of the frame that is annotated."""
    rng = np.random.default_rng(seed)
    nerve = np.arange(frames) % 10 < 5
    area = np.where(nerve, rng.integers(1, 500, frames), 0)
    return pd.DataFrame(
        {
            "model": model,
            "subject": [str(n // 10) for n in range(frames)],
            "has_nerve": nerve,
            "truth_area": area,
            "frame_area": 1000,
            "dice": np.where(nerve, area / 1000, 1.0),
            "hd95_common": np.where(nerve, rng.uniform(0, 9, frames), np.nan),
            "centroid_distance_common": np.where(nerve, rng.uniform(0, 9, frames), np.nan),
        }
    )


TABLE = strata_table(pd.concat([cases(), cases("gan", seed=1)]), 200, 7)


def part(stratum, name, model="unet"):
    (row,) = TABLE[(TABLE["model"] == model) & (TABLE["stratum"] == stratum) & (TABLE["part"] == name)].to_dict(
        "records"
    )
    return row


def test_the_parts_of_a_stratum_hold_every_frame_that_belongs_to_one_once():
    counted = TABLE.groupby(["model", "stratum"])["frames"].sum()
    for model in ("unet", "gan"):
        assert counted[model].to_dict() == {"presence": 120, "size": 60, "subject": 120}


def test_sizes_are_thirds_of_the_frames_with_a_nerve_from_the_smallest_to_the_largest():
    of_nerves = cases().loc[lambda table: table["has_nerve"], "dice"].sort_values().to_numpy()
    for name, expected in zip(SIZES, of_nerves.reshape(3, 20), strict=True):
        found = part("size", name)
        assert found["frames"] == 20
        assert found["dice"] == pytest.approx(expected.mean())
        assert found["dice_low"] <= found["dice"] <= found["dice_high"]


def test_frames_of_two_sizes_are_parted_by_the_share_that_is_nerve():
    table = cases(frames=30)
    larger = table.assign(frame_area=np.where(table.index < 15, 10_000_000, 1000))
    table = strata_table(larger, 50, 0).set_index("part")
    assert table.loc["small", "subjects"] <= 2
    assert table.loc["large", "dice"] == pytest.approx(cases(frames=30)["dice"].iloc[20:25].mean())


def test_parts_are_told_in_their_own_order():
    shown = TABLE[TABLE["model"] == "gan"]
    assert shown[shown["stratum"] == "presence"]["part"].tolist() == ["nerve", "no nerve"]
    assert shown[shown["stratum"] == "size"]["part"].tolist() == list(SIZES)
    assert shown[shown["stratum"] == "subject"]["part"].tolist() == [str(n) for n in range(12)]


def test_a_subject_has_the_mean_of_its_frames_and_no_interval():
    found = part("subject", "3")
    assert found["dice"] == pytest.approx(cases().query("subject == '3'")["dice"].mean())
    assert np.isnan([found["dice_low"], found["dice_high"]]).all()
    assert found["dice_no_interval"] == "one subject"


def test_a_part_that_one_subject_alone_has_gets_no_interval_and_equal_ones_say_so():
    table = cases(frames=30)
    nerve = table["has_nerve"] & (table["subject"] == "1")
    shown = strata_table(table.assign(has_nerve=nerve, truth_area=table["truth_area"].where(nerve, 0)), 50, 0)
    assert shown.loc[shown["part"] == "nerve", "dice_no_interval"].tolist() == ["one subject"]
    shown = strata_table(table.assign(dice=1.0), 50, 0).set_index("part")
    assert shown.loc["no nerve", "dice_no_interval"] == "equal in all subjects"


def test_distances_are_over_the_frames_that_all_models_outline_and_their_number_is_told():
    shown = strata_table(cases().assign(hd95_common=np.where(np.arange(120) < 15, 3.0, np.nan)), 50, 0)
    found = shown.set_index("part").loc["nerve"]
    assert (found["hd95_common"], found["frames_outlined_by_all"]) == (3.0, 10)


def test_without_a_nerve_there_are_no_sizes_and_no_distances():
    table = strata_table(cases().assign(has_nerve=False, truth_area=0, hd95_common=np.nan), 50, 0)
    assert set(table["stratum"]) == {"presence", "subject"}
    assert table["hd95_common"].isna().all()
