"""A fake OpenAI-compatible server."""
