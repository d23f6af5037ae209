"""What is seen of containers from outside: processes, measures, files, images made of them."""
