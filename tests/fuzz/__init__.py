"""Fuzzing of all that headrace reads and did not make itself a moment ago: damaged, forged, or mistyped by a person."""
