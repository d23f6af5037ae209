"""Volumes, and what a start brings of them into a machine."""
