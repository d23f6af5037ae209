"""Descriptions of pods that people write: Hyper's pod files and Kubernetes manifests, turned into bodies of the API.

Pure: bytes in, records out. What a file refers to on this machine is read by a function the caller gives.
"""
