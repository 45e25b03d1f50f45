"""Basics that every package may use: errors, JSON, settings, files, clock, log."""
