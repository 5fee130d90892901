"""What the trials of a search found where their data are read, kept in its ledger: the same, if they are to be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from rebnn_search.execution.events import SearchObserver
from rebnn_search.study.attributes import DATA
from rebnn_search.study.ledger import Ledger
from rebnn_search.training.data.facts import DataFacts

DATA_TAG = "data"
"""Tag of the parent run: the same, line by line."""
KEPT = 20
"""Lines that are kept; a search over options of its data may have one for each."""
COMPARED = 100
"""Sets of such options of which is kept what the first trial found."""
IMMATERIAL = ("augment", "resident", "workers")
"""Options of data that change nothing of what is found."""


class DataSeen:
    """Compares what each trial found with what the first of the same options found, in this run of the search or an earlier one.

    Args:
        ledger: Of the search.
        observer: Who is told what was found first, and what was found to differ.
    """

    def __init__(self, ledger: Ledger, observer: SearchObserver) -> None:
        self._ledger, self._observer = ledger, observer
        self._told: set[str] = set()

    def take(self, number: int, options: object, facts: DataFacts) -> None:
        """Take in what a trial found.

        Args:
            number: Of the trial.
            options: ``data`` of its recipe: a mapping, a name alone, or a part that was made already.
            facts: What it found there.
        """
        noted = self._ledger.noted(DATA) or {}
        first, lines = dict(noted.get("first", {})), list(noted.get("lines", []))
        found = {"trial": number, "digest": facts.digest, "text": facts.text}
        key = _key(options)
        earlier = first.setdefault(key, found) if len(first) < COMPARED else first.get(key, found)
        differs = earlier["digest"] != facts.digest
        told = [facts.text] if facts.left_out is None else [facts.text, facts.left_out]
        if differs:
            before = f"trial #{earlier['trial']} with the same options" if earlier["trial"] != number else "when it began"
            told = [
                f"trial #{number} found other data than {before}, so that the two cannot be compared: {facts.text}; before: "
                f"{earlier['text']}. Do all machines see the same files, and did nobody change them?"
            ]
        new = [line for line in told if line not in lines and line not in self._told]
        self._told |= set(new)
        for line in new:
            (self._observer.found_other_data if differs else self._observer.found_data)(line)
        if first != noted.get("first") or new:
            self._ledger.note(DATA, {"first": first, "lines": [*lines, *new][:KEPT]})


def _key(options: object) -> str:
    material = {"name": options} if isinstance(options, str) else options
    if isinstance(material, Mapping):
        material = {name: value for name, value in material.items() if name not in IMMATERIAL}
    return hashlib.sha256(json.dumps(material, sort_keys=True, default=str).encode()).hexdigest()[:16]


def lines_of(ledger: Ledger) -> list[str]:
    """What was told of a search's data."""
    return list((ledger.noted(DATA) or {}).get("lines", []))
