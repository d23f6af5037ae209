"""Networks: how a sandbox reaches the world and is reached."""
