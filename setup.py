"""What pyproject.toml cannot say: the search files and recipes of the top level go into the package, where a wheel finds them."""

from setuptools import find_packages, setup

FOLDERS = ("search_spaces", "trials")

setup(
    packages=[*find_packages(include=["rebnn_search", "rebnn_search.*"]), *(f"rebnn_search.{name}" for name in FOLDERS)],
    package_dir={f"rebnn_search.{name}": name for name in FOLDERS},
)
