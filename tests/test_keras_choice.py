"""Which Keras there is, and that no setting of a home or a shell changes what is computed."""

import os
import sys

import pytest

from paths import ROOT
from processes import attempt, run

pytestmark = pytest.mark.slow


def test_tensorflow_imported_first_with_keras_3_fails_with_what_to_do():
    done = attempt(
        sys.executable,
        "-c",
        "import os; os.environ.pop('TF_USE_LEGACY_KERAS', None); import tensorflow; import nerveseg",
    )
    assert done.returncode != 0
    assert "Import nerveseg first" in done.stderr


STATE = """
import nerveseg, tensorflow as tf
import matplotlib.figure
from tf_keras.src import backend
print(tf.keras.Model.__module__, backend.image_data_format(), backend.floatx(), backend.epsilon())
print(tf.keras.layers.Conv2D(3, 3)(tf.zeros((1, 8, 9, 2))).shape)
import segmentation_models
print(segmentation_models.framework(), matplotlib.get_backend(), tf.keras.Input((32, 32, 1)).dtype)
tf.config.experimental.enable_op_determinism()
"""
EXPECTED = [
    "tf_keras.src.engine.training channels_last float32 1e-07",
    "(1, 6, 7, 3)",
    "tf.keras agg <dtype: 'float32'>",
]
SHELLS = {
    "channels first, in Jupyter": (
        '{"image_data_format": "channels_first", "floatx": "float32", "epsilon": 1e-7, "backend": "tensorflow"}',
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "PYTHONSTARTUP": "/no/such", "KERAS_BACKEND": "jax"},
    ),
    "float16 and Keras 3": (
        '{"floatx": "float16", "epsilon": 1e-3, "image_data_format": "channels_last", "backend": "theano"}',
        {"KERAS_BACKEND": "theano", "TF_USE_LEGACY_KERAS": "0", "SM_FRAMEWORK": "keras", "MPLBACKEND": "module://no.such"},
    ),
    "values that Keras refuses, and other kernels": (
        '{"floatx": "bfloat16", "epsilon": 1, "image_data_format": "th"}',
        {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_DETERMINISTIC_OPS": "banana", "XLA_FLAGS": "--nonsense=1", "MPLBACKEND": "no"},
    ),
    "no mapping, in Colab": (
        "[]",
        {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "TF_XLA_FLAGS": "--tf_xla_auto_jit=2", "CUDA_VISIBLE_DEVICES": ""},
    ),
    "a damaged one, in another language": (
        "{", {"LC_ALL": "tr_TR.UTF-8", "LANG": "C", "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
def test_neither_a_keras_json_nor_a_shell_decides_anything(shell, tmp_path):
    config, variables = SHELLS[shell]
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(config)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "HOME": str(tmp_path), **variables}
    told = run(sys.executable, "-c", STATE, env=environment)
    assert [line for line in told.splitlines() if "ramework" not in line] == EXPECTED


def test_a_keras_that_was_loaded_before_is_put_right(tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(SHELLS["channels first, in Jupyter"][0])
    script = "import tf_keras; assert tf_keras.backend.image_data_format() == 'channels_first'" + STATE
    environment = {**os.environ, "HOME": str(tmp_path), "TF_USE_LEGACY_KERAS": "true"}
    environment.pop("KERAS_HOME", None)
    assert EXPECTED[0] in run(sys.executable, "-c", script, env=environment)


def test_a_notebook_keeps_its_own_way_to_show_pictures():
    script = "import sys; sys.modules['ipykernel'] = sys; import os, nerveseg; print(os.environ['MPLBACKEND'])"
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    assert run(sys.executable, "-c", script, env=environment) == environment["MPLBACKEND"]
