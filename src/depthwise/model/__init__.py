"""What users hold: models with their weights."""
