"""Which search of a store's is the newest, on a machine that has just fetched them."""

import os
from pathlib import Path
from typing import Any

from rebnn_search.storage.find import Storage, searches_of
from rebnn_search.storage.folder import SearchFolder


def test_of_a_copy_the_numbers_tell_and_else_the_times(driven: Any, tmp_path: Path) -> None:
    search = driven.load(tmp_path, driven.GAMMA)
    for second, number in enumerate((10, 3, 9)):
        folder = SearchFolder(tmp_path / "results" / f"space-{number}")
        folder.path.mkdir(parents=True)
        folder.write_search("space.yaml", search.dump(), None)
        os.utime(folder.search_file, (second, second))
    here = Storage("results", tmp_path / "results", None)
    assert [folder.name for folder in searches_of(here, "space.yaml")] == ["space-10", "space-3", "space-9"]
    copy = Storage("s3://bucket/results", tmp_path / "results", "s3://bucket/results")
    assert [folder.name for folder in searches_of(copy, "space.yaml")] == ["space-3", "space-9", "space-10"]
