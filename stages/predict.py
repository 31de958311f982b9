"""Predict each test frame with each model once, and store the maps at the networks' size in `data/predictions/`.

The models are the U-Net, the arm that val chose, the ensemble in `evaluate.ensemble`, and what ships; none may know test.
"""

import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from nerveseg.dataset.info import DatasetInfo, prepared, shards
from nerveseg.dataset.leakage import check_unseen
from nerveseg.dataset.records import read_records
from nerveseg.evaluation.model_names import ENSEMBLE, GAN, SHIPPED
from nerveseg.evaluation.stored_predictions import ShippedModel, finish, store, store_mirrored
from nerveseg.files.atomic import fresh_folder, read_csv
from nerveseg.params.fields import FRESH
from nerveseg.params.file import load_params
from nerveseg.processes.stage import stage_process, undisturbed
from nerveseg.refinement.outcome import Refinement
from nerveseg.saved_models.loading import load_predictor
from nerveseg.saved_models.openvino_predictor import ExportedConfig
from nerveseg.training.distribution import make_deterministic

PROCESSED, OUTPUT = Path("data/processed"), Path("data/predictions")
UNET, REFINED, EXPORTED = Path("models/unet"), Path("models/gan"), Path("models/exported")


def predict() -> None:
    params = load_params()
    ensemble = params.evaluate.ensemble
    named = {} if ensemble == FRESH else {ENSEMBLE: Path(ensemble)}
    with fresh_folder(OUTPUT) as folder, undisturbed("predict", params):
        make_deterministic(params.seed)
        info, manifest = DatasetInfo.read(PROCESSED), read_csv(prepared(PROCESSED).file("manifest.csv"))
        test = list(read_records(shards(PROCESSED, "test"), info))
        inputs = np.stack([record.frame for record in test])
        cutoffs = {}
        models = {"unet": UNET, GAN: REFINED, **named, SHIPPED: EXPORTED}
        for name, path in tqdm(models.items(), desc="predicting", unit="model"):
            model = load_predictor(path)
            if remark := check_unseen(model.learnt_frames, manifest, path):
                print(f"warning: {remark}", file=sys.stderr)
            store(folder, name, model, inputs)
            cutoffs[name] = model.cutoffs
            if name == SHIPPED:
                store_mirrored(folder, model, [record.as_read for record in test])
        shipped = ExportedConfig.read(EXPORTED)
        arm = Refinement.read(REFINED).arm if shipped.source == GAN else None
        finish(folder, inputs, cutoffs, ShippedModel(shipped.source, arm, shipped.precision))
    print(f"{len(test)} test frames through {', '.join(cutoffs)}")


if __name__ == "__main__":
    with stage_process():
        predict()
