"""What of a search's folder goes to an object store: all that nothing says otherwise of, so that a new kind of file is never lost."""

from pathlib import Path, PurePosixPath

import pytest

from rebnn_search.storage.fetch import travelling_files, travels

KEPT = ["search.yaml", "result.json", "best.yaml", "model.safetensors", "trials/0003/reports.jsonl", "trials/0003/recipe.yaml",
        "trials/0003/error.txt", "refit/refit.json", "refit/seed-0/outcome.json", "something_new.json"]  # fmt: skip
OWN = ["driver.lock", "driver.json", "driver.log", "study.journal", "study.journal.lock", "ray/0/p.json", "report/report.html",
       "ray_logs/gcs.out", "trials/0003/checkpoints/00000001.pt", "stage_one/abc/00000001.pt", "refit/s/checkpoints/00000002.pt",
       ".search.yaml.17.partial", "trials/0003/.model.safetensors.17.partial"]  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_it_travels(name: str) -> None:
    assert travels(PurePosixPath(name))


@pytest.mark.parametrize("name", OWN)
def test_it_stays(name: str) -> None:
    assert not travels(PurePosixPath(name))


def test_a_folder_is_walked_with_the_resolved_search_first(tmp_path: Path) -> None:
    for name in KEPT + OWN:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [file.relative_to(tmp_path).as_posix() for file in travelling_files(tmp_path)]
    assert found[0] == "search.yaml"
    assert sorted(found) == sorted(KEPT)
