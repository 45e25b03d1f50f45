"""The Claude login: reading it where Claude Code keeps it, and refreshing it without getting in Claude Code's way."""
