"""The host's end of the talk with the agent in the guest."""
