"""Training: what to make small (losses), how (optimizers), how to watch it (metrics, callbacks), and the loop."""
