"""Networks of the daemon, and what containers hold on them."""
