"""Makes what the code itself can tell of the documentation, and the site that shows it."""
