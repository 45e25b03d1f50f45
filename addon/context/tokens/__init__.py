"""Counting tokens for Claude without asking Anthropic."""
