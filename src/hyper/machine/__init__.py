"""Virtual machines: what one is (spec), who makes it (driver), which can be made here (probe)."""
