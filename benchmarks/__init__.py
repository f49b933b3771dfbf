"""Benchmarks: ratios measured side by side, interleaved, in one run on the same input. See RESULTS.md."""
