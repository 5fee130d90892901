"""Running a search: the controller between ledger and executor, tracking, and the end."""
