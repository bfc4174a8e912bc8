"""What `fennel doctor` looks at: each module gives findings, and none of them imports torch."""
