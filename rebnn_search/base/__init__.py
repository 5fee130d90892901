"""What every floor stands on, with the standard library alone: errors, registries, files, durations, logs."""
