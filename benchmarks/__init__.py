"""Measurements that README and CHANGELOG quote. Run one as `python -m benchmarks.NAME` from the repository root."""
