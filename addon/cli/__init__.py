"""Command-line programs: launch, tunnel, doctor, demo, rerun."""
