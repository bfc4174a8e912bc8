"""What an engine needs to run a model on this machine. Only the engine process imports it."""
