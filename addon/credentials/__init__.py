"""The Claude Code credentials on this machine: reading, refreshing and saving them without races."""
