"""Training: what to minimise (losses), how (optimizers), how to watch it (metrics, callbacks), and the loop."""
