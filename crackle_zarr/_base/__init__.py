"""What every other package stands on: integers, label mappings, options and the header's fields."""
