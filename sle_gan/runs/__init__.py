"""What a training run is on disk: its folder and lock, its checkpoints, its log. Training writes it, others read it.

Nothing here trains, and nothing needs a backend but assigning a checkpoint's arrays to variables.
"""
