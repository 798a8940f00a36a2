"""Contracts of outside systems, each held by the fake and by the real one."""
