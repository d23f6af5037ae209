"""What is kept of containers, execs, networks and mounts: plain data."""
