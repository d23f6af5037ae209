"""The routes of the Docker Engine API."""
