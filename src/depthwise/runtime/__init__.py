"""Running compiled programs: memory, threads, predictions, training steps."""
