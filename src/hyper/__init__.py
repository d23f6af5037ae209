"""Hyper: application container images run as virtual machines."""
