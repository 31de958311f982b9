"""How TensorFlow runs a training: devices, threads, arithmetic, and determinism.

A batch is split into `unet.ghost_batches` equal parts, each with a loss and batch statistics of its own, whose gradients are
averaged. They run side by side in threads of a processor, one after the other on a GPU, or on several devices or machines. Losses and weights are the same
in either case but for rounding. The moving statistics of batch normalisation are means over the devices; they differ by less
than one per cent from those of one device, where the later ghost batches of a step weigh slightly more.
"""

import json
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray
from tf_keras.src import backend

from nerveseg.errors import ModelError
from nerveseg.params.networks import Precision, UNetParams
from nerveseg.text.wording import counted

CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16 = {"amx_bf16", "avx512_bf16"}  # the processor's flags for instructions that multiply bfloat16 (x86)
_LOST = (
    tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)  # fmt: skip


class _WholeNumbers(random.Random):
    """The source of seeds for tf-keras's initialisers, which call `randint(1, 1e9)`: Python 3.12 refuses the float."""

    def randint(self, low: float, high: float) -> int:
        return super().randint(int(low), int(high))


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy, TensorFlow and the initial weights of networks."""
    tf.keras.utils.set_random_seed(seed)
    backend._SEED_GENERATOR.generator = _WholeNumbers(seed)  # noqa: SLF001 - tf-keras has no other way in


def make_deterministic(seed: int) -> None:
    """Seed everything, and use only operations whose result does not depend on timing, since seeds alone do not suffice.

    GPUs compute float32 in full, not with the ten bits of TF32: models are compared, exported and scored in float32. Grappler
    must not rearrange arithmetic: it would merge chains of additions into one `AddN` (see `gradients_of`).
    """
    seed_everything(seed)
    tf.config.experimental.enable_op_determinism()
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    tf.config.experimental.enable_tensor_float_32_execution(enabled=False)


def use_threads(side_by_side: int) -> None:
    """Compute so many things side by side, and share the cores among them. Call it before TensorFlow's first operation.

    Small convolutions gain little from a second core; two of them side by side use it almost fully. Beside a GPU, the cores
    prepare its batches, with as many threads as TensorFlow likes.
    """
    if tf.config.list_physical_devices("GPU"):
        return
    cores = _cores()
    tf.config.threading.set_inter_op_parallelism_threads(min(side_by_side, cores))
    tf.config.threading.set_intra_op_parallelism_threads(max(1, cores // side_by_side))


def keras_policy(precision: Precision) -> str:
    """Return the Keras policy of a training: `float32`, or `mixed_bfloat16` (weights in float32).

    `auto` is bfloat16 where it is faster: on GPUs of compute capability 8.0 or more and processors that multiply bfloat16.
    """
    if precision == "auto":
        gpus = tf.config.list_physical_devices("GPU")
        capable = [tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus]
        fast = min(capable) >= (8, 0) if gpus else _multiplies_bfloat16()
        precision = "bfloat16" if fast else "float32"
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"


def devices_in_words(policy: str) -> str:
    """Return what computes a training, and in what: `one GPU (NVIDIA A100-SXM4-40GB), mixed_bfloat16`."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "of unknown kind") for gpu in gpus]
    where = f"{counted(len(gpus), 'GPU')} ({', '.join(names)})" if gpus else f"no GPU, {counted(_cores(), 'core')}"
    return f"{where}, {policy}"


def training_strategy(params: UNetParams) -> tf.distribute.Strategy:
    """Return `MultiWorkerMirroredStrategy` if TF_CONFIG names a cluster, `MirroredStrategy` for several GPUs, or the default for
    one device. Call it before TensorFlow's first operation. `batch_size` and `ghost_batches` are totals over all
    devices. Raise ModelError if TF_CONFIG is wrong, or if the devices cannot get equally many ghost batches.
    """
    if _is_one_of_several(os.environ.get("TF_CONFIG", "")):
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=120.0)
        strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    elif len(tf.config.list_physical_devices("GPU")) > 1:
        strategy = tf.distribute.MirroredStrategy()
    else:
        strategy = tf.distribute.get_strategy()
    devices = strategy.num_replicas_in_sync
    if params.ghost_batches % devices:
        raise ModelError(
            f"unet.ghost_batches is {params.ghost_batches}, but there are {devices} devices, and each must get equally many; "
            f"set unet.ghost_batches to a multiple of {devices}"
        )
    return strategy


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process writes: the only one, or among several the chief or, without one, worker 0."""
    return bool(strategy.extended.should_checkpoint)


def from_chief(strategy: tf.distribute.Strategy, values: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the chief's values on every worker. All workers must pass values of the same shapes and types."""
    if strategy.cluster_resolver is None or strategy.cluster_resolver.task_type is None:
        return list(values)

    def of_first(value: NDArray[Any]) -> tf.Tensor:
        first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
        return tf.where(first, value, tf.zeros_like(value))

    shared = [strategy.run(of_first, args=(value,)) for value in values]
    return [strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None).numpy() for value in shared]


@contextmanager
def telling_lost_workers() -> Iterator[None]:
    """Turn TensorFlow's errors about a lost worker of TF_CONFIG into a ModelError that says what to do."""
    try:
        yield
    except _LOST as error:
        if "TF_CONFIG" not in os.environ:
            raise
        reason = next(iter(str(error.message).splitlines()), type(error).__name__)
        raise ModelError(
            f"another worker of TF_CONFIG stopped answering ({reason[:200]}); look at its output, then start all "
            "workers again: training resumes after the last whole epoch"
        ) from None


def _is_one_of_several(content: str) -> bool:
    """Return whether TF_CONFIG names a cluster; for TensorFlow, {} names none. Raise ModelError if it is wrong."""
    try:
        config = json.loads(content.strip() or "{}")
        if not config.get("cluster"):
            return False
        hosts, task = config["cluster"][config["task"]["type"]], config["task"]["index"]
        known = isinstance(task, int) and 0 <= task < len(hosts)
        found = "" if known else f"task {task!r} is not one of its {len(hosts)}"
    except KeyError as error:
        found = f"{error} is missing in it"
    except (ValueError, TypeError, AttributeError):
        found = "it is no such JSON"
    if found:
        raise ModelError(
            f"TF_CONFIG is {content!r:.500}, but {found}; unset it to train on this machine alone, or make it JSON like "
            '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
        )
    return True


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _multiplies_bfloat16() -> bool:
    try:
        return not BFLOAT16.isdisjoint(CPU_INFO.read_text(encoding="utf-8").split())
    except OSError:  # not Linux
        return False
