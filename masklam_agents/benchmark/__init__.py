"""The benchmark: results that can be trusted and compared.  docs/benchmark.md describes it."""
