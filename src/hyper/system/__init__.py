"""System calls of Linux, one family a file. The only place that spawns processes."""
