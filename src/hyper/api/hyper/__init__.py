"""Hyper's own routes, under /hyper/v1."""
