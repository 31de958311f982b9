"""What a training does on a GPU: threads, arithmetic and words. GPUs are faked, since none is needed to choose."""

import os

import pytest
import tensorflow as tf

from nerveseg.errors import told_plainly
from nerveseg.training import distribution
from nerveseg.training.distribution import devices_in_words, keras_policy, make_deterministic, use_threads


@pytest.fixture
def gpus(monkeypatch):
    """Makes TensorFlow list GPUs of these kinds and compute capabilities."""

    def fake(**kinds):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(kinds) if kind == "GPU" else ["CPU"])
        details = {name: {"device_name": name, "compute_capability": of} if of else {} for name, of in kinds.items()}
        monkeypatch.setattr(tf.config.experimental, "get_device_details", details.get)

    return fake


@pytest.fixture
def threads(monkeypatch):
    """The numbers of threads that TensorFlow is given, and four cores."""
    given = {}
    for kind in ("inter", "intra"):
        name = f"set_{kind}_op_parallelism_threads"
        monkeypatch.setattr(tf.config.threading, name, lambda count, kind=kind: given.update({kind: count}))
    monkeypatch.setattr(distribution, "_cores", lambda: 4)
    return given


@pytest.mark.parametrize(
    ("kinds", "policy"),
    [
        ({"A100": (8, 0)}, "mixed_bfloat16"),
        ({"H100": (9, 0), "RTX 3060": (8, 6)}, "mixed_bfloat16"),
        ({"T4": (7, 5)}, "float32"),
        ({"A100": (8, 0), "V100": (7, 0)}, "float32"),
        ({"unknown": None}, "float32"),
    ],
)
def test_auto_is_bfloat16_where_every_gpu_has_units_for_it(gpus, kinds, policy):
    gpus(**kinds)
    assert keras_policy("auto") == policy
    assert keras_policy("float32") == "float32"
    assert keras_policy("bfloat16") == "mixed_bfloat16"


def test_cores_are_shared_among_what_they_compute_and_left_alone_beside_a_gpu(gpus, threads):
    gpus(A100=(8, 0))
    use_threads(2)
    assert threads == {}
    gpus()
    use_threads(2)
    assert threads == {"inter": 2, "intra": 2}


def test_a_training_says_what_computes_it(gpus, threads):
    gpus()
    assert devices_in_words("float32") == "no GPU, 4 cores, float32"
    gpus(**{"NVIDIA A100-SXM4-40GB": (8, 0)})
    assert devices_in_words("mixed_bfloat16") == "1 GPU (NVIDIA A100-SXM4-40GB), mixed_bfloat16"
    gpus(T4=(7, 5), unknown=None)
    assert devices_in_words("float32") == "2 GPUs (T4, of unknown kind), float32"


def test_float32_has_all_its_bits_on_a_gpu_too():
    make_deterministic(0)
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_a_process_leaves_others_the_memory_of_a_gpu_that_it_does_not_need():
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


def test_a_gpu_whose_memory_runs_out_is_told_with_what_to_lower():
    with (
        pytest.raises(SystemExit, match=r"error: memory for the network ran out.*lower unet\.batch_size"),
        told_plainly(),
    ):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor on GPU:0 by allocator GPU_0_bfc")
