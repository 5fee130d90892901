"""What Tune's snapshots of its parts hold: nothing, as the ledger has it all."""

from __future__ import annotations


class Stateless:
    """Pickles as an empty shell: Tune snapshots its callbacks and schedulers, and nothing ever reads the snapshot."""

    def __getstate__(self) -> dict[str, object]:
        return {}
