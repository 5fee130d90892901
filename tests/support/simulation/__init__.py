"""A search in a simulated world: machines, their disks and clocks, workers, a tracking server and an object store, all from one seed.

The program's own session, controller, ledger, storage, sync, tracker and budget run as they are; `world` says what stands in place of
what. `kernel` makes time and threads a matter of choice, `disk` forgets what was not synced, `tracking` and `store` fail as servers,
`workers` as workers. `faults` chooses; `workloads` are the searches; `crashes` tries every place there is.
"""
