"""Sessions with the agent in the guest: the host's end."""
