"""The classes of holes that programs of this kind were hit by, each with its test; docs/security.md lists them."""
