"""What the engine of remote servers is made of. Nothing here imports torch."""
