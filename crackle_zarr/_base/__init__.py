"""Foundations of all other packages: integers, label mappings, options, files, and the header's fields."""
