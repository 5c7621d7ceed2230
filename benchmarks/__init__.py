"""Benchmarks of jwt-lp, compared with other libraries; `python -m benchmarks --help` says how to run them."""
