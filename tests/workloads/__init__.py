"""Programs of Debian, run as their users run them, on Hyper and on Docker."""
