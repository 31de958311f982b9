import pytest

from nerveseg.preprocessing.packing import prepare_dataset


@pytest.fixture
def prepare(tiny, tmp_path):
    """Prepares a folder into a new one: the account, what `dataset.json` says, and where the records are."""
    runs = []

    def run(source, *, workers=None, split=None, **data):
        output = tmp_path / f"processed-{len(runs)}"
        output.mkdir()
        runs.append(output)
        changed = tiny.data.model_copy(update={"dir": str(source), **data})
        part = tiny.split.model_copy(update=split or {})
        inventory, info = prepare_dataset(output, changed, part, tiny.preprocess, tiny.seed, tmp_path, workers)
        return inventory, info, output

    return run
