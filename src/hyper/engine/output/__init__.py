"""Output of containers' programs: kept in logs, sent to clients."""
