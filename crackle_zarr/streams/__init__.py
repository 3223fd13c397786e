"""Functions on one Crackle stream, and the array that a stream behaves like."""
