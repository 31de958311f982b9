"""nerveseg: outlining nerves in ultrasound frames, every number traceable to data, code and parameters.

Importing the package chooses Keras 2 (package `tf-keras`) before TensorFlow loads, and stops settings of the user's home and
shell from changing results. It also turns off OpenVINO's telemetry.
"""

import os
import sys

if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") not in ("1", "true", "True"):
    raise ImportError(
        "TensorFlow was imported before nerveseg, with Keras 3; nerveseg needs Keras 2 (tf-keras). "
        "Import nerveseg first, or set TF_USE_LEGACY_KERAS=1 in the environment."
    )
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # telemetry
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["SM_FRAMEWORK"] = "tf.keras"
os.environ["KERAS_HOME"] = os.devnull  # no keras.json can be there; weights of encoders are still kept in ~/.keras
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # a process takes no more of a GPU than it needs
# They choose other kernels, with other results, or end the process if TensorFlow does not know their value.
for _name in ("TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC", "TF_XLA_FLAGS", "XLA_FLAGS"):
    os.environ.pop(_name, None)
# They let OpenCV refuse frames; `imaging` has limits of its own.
for _name in ("OPENCV_IO_MAX_IMAGE_PIXELS", "OPENCV_IO_MAX_IMAGE_WIDTH", "OPENCV_IO_MAX_IMAGE_HEIGHT"):
    os.environ.pop(_name, None)
# They end the process where tqdm cannot read their value. Whether it draws bars is the user's choice.
for _name in [_name for _name in os.environ if _name.startswith("TQDM_") and _name != "TQDM_DISABLE"]:
    os.environ.pop(_name)
if sys.stderr is None or not sys.stderr.isatty():  # in a log, a bar is a wall of its past states
    os.environ.setdefault("TQDM_DISABLE", "1")
if "ipykernel" not in sys.modules:  # a notebook passes on a backend that only its own process has
    os.environ["MPLBACKEND"] = "agg"
if "tf_keras" in sys.modules:  # which has read keras.json already
    _backend = sys.modules["tf_keras"].backend
    _backend.set_image_data_format("channels_last")
    _backend.set_floatx("float32")
    _backend.set_epsilon(1e-7)
