"""The knowledge base: documents are read, cut into passages, kept in an index and found again."""
