"""The structure of the package: no cycle between modules, no private module used from outside the package it lies in."""

from __future__ import annotations

import graphlib

import grimp
import pytest


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("rebnn_search", exclude_type_checking_imports=True, cache_dir=None)


def test_modules_import_without_a_cycle(graph: grimp.ImportGraph) -> None:
    """Imports inside functions count: a cycle that is put off is one still."""
    found = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert graph.count_imports() > len(found)
    try:
        graphlib.TopologicalSorter(found).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a cycle: {' <- '.join(error.args[1])}")


def test_a_private_module_is_imported_only_within_its_package() -> None:
    graph = grimp.build_graph("rebnn_search", cache_dir=None)
    found = [
        f"{module} -> {target}"
        for module in sorted(graph.modules)
        for target in sorted(graph.find_modules_directly_imported_by(module))
        if (owner := private_owner(target)) is not None and module != owner and not module.startswith(f"{owner}.")
    ]
    assert not found


def private_owner(module: str) -> str | None:
    """The package whose private module this is or lies in."""
    parts = module.split(".")
    hidden = (index for index, part in enumerate(parts) if part.startswith("_") and not part.startswith("__"))
    return next((".".join(parts[:index]) for index in hidden), None)
