"""The embedders. Each is named by `knowledge.embedder`."""
