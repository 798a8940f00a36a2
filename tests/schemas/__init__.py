"""Tests of headrace.schemas."""
