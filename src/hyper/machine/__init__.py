"""Virtual machines: what one is (spec), what makes it (driver), which can be made here (probe)."""
