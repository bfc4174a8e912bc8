"""The stores: one file of our own, or a PostgreSQL server for many hosts."""
