"""How a scoring service bears load: throughput and latency, the bytes of its answers, and what replicas add."""
