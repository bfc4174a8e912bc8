"""The rerankers. Each is named by `knowledge.reranker`."""
