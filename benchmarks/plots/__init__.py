"""Plots of what the benchmarks found, and what draws them."""
