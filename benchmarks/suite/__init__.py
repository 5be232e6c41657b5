"""The benchmarks as a whole: what is run by which command (`plan.toml`), what it found, and where that is said."""
