"""Hyper: application container images run as virtual machines."""

#: Of the whole product; pyproject.toml takes it from here (reading it back from the installed package costs 25 ms).
__version__ = "0.1.0"
