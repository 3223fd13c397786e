"""Functions on one Crackle stream, and :class:`CrackleArray`, a stream that behaves like a NumPy array."""
