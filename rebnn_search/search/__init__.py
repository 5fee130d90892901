"""The search: its file, space and ledger, and the Ray Tune trials that Optuna samples and prunes."""
