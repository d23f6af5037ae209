"""The composition root: reads the configuration, builds everything, serves."""
