"""App Container Images (rkt's): from their names to images like any other. Converted once; nothing runs them but what
runs all."""
