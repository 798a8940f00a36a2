"""Chaos on real processes: what is broken and when (plan), by what (lane, rig, s3_proxy), and the judge (oracle).

`python -m chaos`, with `tests` on PYTHONPATH, runs it by hand; docs/guarantees.md says how to read what it prints.
"""
