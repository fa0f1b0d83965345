"""The side-by-side benchmark: `benchmarks/run`; see `benchmarks/README.md`."""
