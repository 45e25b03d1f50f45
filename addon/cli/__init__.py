"""Programs that a person starts: launch, tunnel, doctor, demo."""
