"""Linux, one family of system calls a file. The only place that spawns processes."""
