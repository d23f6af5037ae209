"""Descriptions of pods that people write: Hyper's pod files and Kubernetes manifests, turned into bodies of the API.

Pure: bytes in, records out. Files of this machine that a description refers to are read by a function the caller gives.
"""
