"""Records of containers, execs, networks and mounts: plain data."""
