"""The ``hyper`` command line: a client of the Engine API and nothing more."""
