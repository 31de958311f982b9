"""Makes the model that ships, which predicts without TensorFlow, of the trained one, into `models/exported/`: of `models/gan`, or
of the ensemble in `evaluate.ensemble` where one is named. `evaluate` holds both against each other on the test frames.
"""

from pathlib import Path

from nerveseg.data.records import DatasetInfo, annotated_frames, shards
from nerveseg.export import Annotated, export
from nerveseg.loading import load_trained
from nerveseg.outputs import fresh_folder
from nerveseg.params import FRESH, load_params
from nerveseg.stage import stage_process, undisturbed
from nerveseg.tracking import stage_run
from nerveseg.training.distribution import make_deterministic

PROCESSED, GAN = Path("data/processed"), Path("models/gan")
OUTPUT = Path("models/exported")


def export_model() -> None:
    params = load_params()
    trained = GAN if params.evaluate.ensemble == FRESH else Path(params.evaluate.ensemble)
    with fresh_folder(OUTPUT) as folder, stage_run("export", params) as run, undisturbed("export", params):
        make_deterministic(params.seed)
        info = DatasetInfo.read(PROCESSED)
        val = Annotated(*annotated_frames(shards(PROCESSED, "val"), info))
        layers = export(load_trained(trained), folder, params.export, val)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20
        run.log_facts({"megabytes": size, **layers})
    told = (
        f", {layers['int8_layers']} of {layers['layers']} layers of the U-Net in int8" if layers["int8_layers"] else ""
    )
    print(f"{trained} exported to {OUTPUT}: {size:.1f} MB{told}")


if __name__ == "__main__":
    with stage_process():
        export_model()
