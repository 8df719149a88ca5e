"""Everything around the train step: loop, run folders, checkpoints, callbacks."""
