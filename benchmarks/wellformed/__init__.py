"""Is what is kept well-formed? Every compressed output of the evaluation data, checked by its kind (`python -m benchmarks.wellformed`)."""
