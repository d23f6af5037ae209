"""Clients' requests for containers and pods, checked and filled in: pure functions and data."""
