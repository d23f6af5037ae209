"""The Docker Engine API, served over HTTP."""
