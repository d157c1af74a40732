"""Real faults, timed and graded. Its rooms are built on what `stack` runs."""
