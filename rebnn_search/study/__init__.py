"""What is searched and what was found: search file, space, samplers, pruners, ledger, ranking."""
