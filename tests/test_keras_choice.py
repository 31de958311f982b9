import subprocess
import sys


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600)


def test_importing_nerveseg_first_gives_keras_2():
    done = run("import nerveseg, tensorflow as tf; print(tf.keras.Model.__module__)")
    assert done.stdout.startswith("tf_keras."), done.stderr


def test_tensorflow_imported_first_with_keras_3_fails_with_what_to_do():
    done = run("import os; os.environ.pop('TF_USE_LEGACY_KERAS', None); import tensorflow; import nerveseg")
    assert done.returncode != 0
    assert "Import nerveseg first" in done.stderr
