"""App Container Images (rkt's): from their names to images like any other. Converted once; they run as images do.
runs all.
"""
