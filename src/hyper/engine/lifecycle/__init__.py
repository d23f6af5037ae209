"""Containers, pods and execs: made, started, supervised, found again, ended."""
