"""What is known about Claude: models, thinking rules, limits, cache breakpoints. Pure: no I/O, no clock."""
