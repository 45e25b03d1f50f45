"""Estimates Claude's token counts locally."""
