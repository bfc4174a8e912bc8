"""What Fennel claims of speed, memory and quality: each command prints a table and writes JSON."""
