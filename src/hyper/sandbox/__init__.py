"""Sandboxes: one virtual machine and all it holds each, acquired in order and released in reverse."""
