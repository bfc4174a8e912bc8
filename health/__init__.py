"""How a program tells that it is well: metrics, /healthz, /readyz and its last error. For bots and workers alike."""
