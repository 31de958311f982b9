"""nerveseg: outlining nerves in ultrasound frames, every number traceable to data, code and parameters.

Importing the package settles which Keras TensorFlow shows (Keras 2, package `tf-keras`) before TensorFlow
loads; this is the one place where that choice is made. It also keeps OpenVINO from reporting on its user.
"""

import os
import sys

if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
    raise ImportError(
        "TensorFlow was imported before nerveseg, with Keras 3; nerveseg needs Keras 2 (tf-keras). "
        "Import nerveseg first, or set TF_USE_LEGACY_KERAS=1 in the environment."
    )
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # would tell its maker what is done with it
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["SM_FRAMEWORK"] = "tf.keras"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
