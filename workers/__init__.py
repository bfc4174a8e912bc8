"""What takes questions from the queue and answers them: RQ worker, pipeline, engine, knowledge."""
