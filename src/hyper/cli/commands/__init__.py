"""One module a family of commands; each command is a constant in capitals (``RUN``)."""
