import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from conftest import ROOT
from nerveseg.sweep_space import search_space


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("lr=1e-4,3e-4", CategoricalDistribution(["1e-4", "3e-4"])),
        ("lr=log:1e-4..1e-2", FloatDistribution(1e-4, 1e-2, log=True)),
        ("augment.gamma=0.1..0.5", FloatDistribution(0.1, 0.5)),
        ("unet.epochs=5..30", IntDistribution(5, 30)),
        ("unet.epochs=log:5..30", IntDistribution(5, 30, log=True)),
        ("gan.critic=patch,none", CategoricalDistribution(["patch", "none"])),
        ("split.fold=0", CategoricalDistribution(["0"])),
    ],
)
def test_a_setting_is_a_choice_or_a_range(setting, expected):
    (found,) = search_space([setting], ROOT / "params.yaml").values()
    assert found == expected
