"""Python and the packages: what is installed, in versions that fit, and what of the extras is missing."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from rebnn_search import __version__
from rebnn_search.doctor.finding import Finding, Level

AREA = "software"
NAME = "rebnn-search"
PYTHON = (3, 11)
SHOWN = ("torch", "torchvision", "ray", "optuna", "mlflow", "numpy", "scikit-learn", "pandas")
"""Packages with a line of their own though nothing is wrong with them."""
EXTRAS = {
    "cluster": "the commands of Ray clusters", "store": "leases by conditional writes in object stores", "export": "ONNX files",
    "openvino": "OpenVINO's engine", "cma_es": "the sampler cma_es", "notebook": "progress as a widget",
    "test": "the project's own tests",
}  # fmt: skip
"""What each optional extra brings."""


def examine_software() -> Iterator[Finding]:
    """Look at interpreter, requirements and extras."""
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < PYTHON:
        yield Finding(AREA, "Python", found, Level.FAIL, f"install Python {'.'.join(map(str, PYTHON))} or newer")
    else:
        yield Finding(AREA, "Python", found)
    yield Finding(AREA, NAME, __version__)
    try:
        wanted = [Requirement(line) for line in requires(NAME) or ()]
    except PackageNotFoundError:
        yield Finding(AREA, "requirements", f"{NAME} is not installed as a package, so they are not known", Level.NOTE)
        return
    for requirement in wanted:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            problem = _problem(requirement)
            if problem is not None:
                yield Finding(AREA, requirement.name, problem, Level.FAIL, f"pip install '{requirement}'")
            elif requirement.name in SHOWN:
                yield Finding(AREA, requirement.name, version(requirement.name))
    for extra, what in EXTRAS.items():
        if not any(_is_of(extra, requirement) for requirement in wanted):
            continue  # what is installed is of a version that has it not
        missing = missing_of(extra, wanted)
        if missing:
            yield Finding(
                AREA, f"extra {extra}", f"{what}: lacks {', '.join(missing)}", Level.NOTE, f"pip install '{NAME}[{extra}]'"
            )
        else:
            yield Finding(AREA, f"extra {extra}", what)


def missing_of(extra: str, wanted: list[Requirement]) -> list[str]:
    """The packages of an extra that are not there, or not in a version that fits, those of extras it builds on included."""
    missing = []
    for requirement in wanted:
        if not _is_of(extra, requirement):
            continue
        if requirement.name == NAME:
            missing += [name for inner in sorted(requirement.extras) for name in missing_of(inner, wanted)]
        elif _problem(requirement) is not None:
            missing.append(requirement.name)
    return missing


def _is_of(extra: str, requirement: Requirement) -> bool:
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _problem(requirement: Requirement) -> str | None:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return "is not installed"
    return (
        None if requirement.specifier.contains(found, prereleases=True) else f"{found}, where {requirement.specifier} is needed"
    )
