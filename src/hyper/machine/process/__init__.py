"""Parts for hypervisors that are processes of this host: their console, files, inventory, and file server."""
