"""Compile the model that ships, which predicts without TensorFlow, into `models/exported/`.

The source is `models/gan`, or the ensemble in `evaluate.ensemble` if one is named. Val decides whether the model computes in
int8 or float32; `evaluate` reports what the export changed on the test frames.
"""

from pathlib import Path

from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records
from nerveseg.evaluation.test_set import TestSet
from nerveseg.files.atomic import fresh_folder
from nerveseg.params.fields import FRESH
from nerveseg.params.file import load_params
from nerveseg.processes import progress
from nerveseg.processes.stage import stage_process, undisturbed
from nerveseg.saved_models.loading import load_trained
from nerveseg.saved_models.openvino_export import export
from nerveseg.saved_models.openvino_predictor import Source
from nerveseg.training.distribution import make_deterministic

PROCESSED, GAN, OUTPUT = Path("data/processed"), Path("models/gan"), Path("models/exported")


def export_model() -> None:
    params = load_params()
    source: Source = "gan" if params.evaluate.ensemble == FRESH else "ensemble"
    trained = GAN if source == "gan" else Path(params.evaluate.ensemble)
    with fresh_folder(OUTPUT) as folder, undisturbed("export", params):
        make_deterministic(params.seed)
        val = TestSet.of(list(read_records(shards(PROCESSED, "val"), DatasetInfo.read(PROCESSED))))
        print(f"compiling {trained}, and comparing it with the trained one on val", flush=True)
        found = export(load_trained(trained), folder, params.export, val, source)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20
        progress.facts({"megabytes": size, "layers": found.layers, "int8_layers": found.int8_layers})
    layers = f"{found.int8_layers} of {found.layers} layers of the U-Net in int8" if found.int8_layers else "in float32"
    print(f"{trained} exported to {OUTPUT}: {size:.1f} MB, {layers}" + (f": {found.reason}" if found.reason else ""))


if __name__ == "__main__":
    with stage_process():
        export_model()
