"""How fast: index build, new and repeated questions, everything outside the draft, memory, growth (`python -m benchmarks.speed`)."""
