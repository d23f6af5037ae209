"""Containers seen from outside: processes, measures, files, images made of them."""
