"""The network driver without privilege: the hypervisor's own user-mode network, one a machine."""
