"""What this service tells about itself, and what never leaves it."""
