"""One virtual machine and all it holds, acquired in order and released in reverse."""
