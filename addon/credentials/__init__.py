"""The Claude login: reads it where Claude Code stores it, and refreshes it without disturbing Claude Code."""
