"""The chaos run: questions for minutes while every process is killed again and again."""
