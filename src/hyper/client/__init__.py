"""The HTTP client of hyperd: what the command line (and later the service) speaks through."""
