"""What clients ask for, checked and filled in: pure functions and data."""
