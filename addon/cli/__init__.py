"""Command-line programs: launch, tunnel, doctor, demo, service, setup."""
