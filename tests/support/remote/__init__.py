"""A hypervisor of another host, for tests: no process here, no disk to add, no folder to share, no card."""
