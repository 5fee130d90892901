"""Ray Tune's side: trials in actors, adapters of Tune's interfaces, the watch over Ray."""
