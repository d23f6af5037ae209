"""Networks of the daemon, and containers' leases on them."""
