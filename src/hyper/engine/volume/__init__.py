"""Volumes, and how a start brings them into a machine."""
