"""Networks trained with options of their weight binarizer, exported and read again."""

from pathlib import Path

import pytest
import torch

from rebnn_search.export import describe, export_packed, export_torch, find_trained, load_model
from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.checkpoint import CheckpointDirectory
from rebnn_search.training.folder import TrainingFolder

OPTIONS = {"name": "recu", "tau_start": 0.6, "tau_end": 0.75}


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    network = {"name": "mlp", "width": 8, "depth": 1}
    recipe = Recipe.model_validate({"data": "digits", "network": network, "weights": OPTIONS, "epochs": 1, "batch_size": 512})
    made = Trainer(recipe, device="cpu")
    made.next_report()
    return made


def test_its_header_has_the_options_and_its_answers_are_the_network_s(trainer: Trainer, tmp_path: Path) -> None:
    batch, _ = next(iter(trainer.data.batches("validation", batch_size=100)))
    info = describe(trainer.recipe, trainer.data)
    network = trainer.network.eval()
    for export in (export_packed, export_torch):
        export(network, info, tmp_path / export.__name__)
        model = load_model(tmp_path / export.__name__)
        assert model.info.recipe["weights"] == OPTIONS
        assert model.network is not None
        with torch.no_grad():
            assert torch.equal(model.network(batch), network(batch))


def test_it_is_exported_from_its_folder(trainer: Trainer, tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    folder.write_recipe(trainer.recipe, "of a test")
    CheckpointDirectory(folder.checkpoint_path).save(1, {"trainer": trainer.state_dict()})
    found = find_trained(str(tmp_path))
    assert found.info.recipe["weights"] == OPTIONS
    assert found.network.state_dict().keys() == trainer.network.state_dict().keys()
