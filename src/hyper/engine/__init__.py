"""The use cases: containers, execs, images, events, logs."""
