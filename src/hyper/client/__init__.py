"""HTTP over the daemon's socket, with the standard library alone."""
