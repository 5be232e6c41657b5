"""Benchmarks of local targets: how soon they answer, how well, and in how much memory."""
