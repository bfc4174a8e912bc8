"""Settings, the Redis server's configuration, and logging. Imports nothing else of Fennel but the contract's errors."""
