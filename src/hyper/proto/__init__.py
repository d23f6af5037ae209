"""The agent protocol and Docker's raw stream: bytes to events and back, nothing else.

``message`` is the entry: it holds the name of everything the two sides say. ``frame`` is the
layer below it, ``stream`` the flow control beside it.
"""
