"""The retrievers."""
