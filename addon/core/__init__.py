"""What every room may use and that knows nothing of the product: errors, JSON, settings, files, clock, log."""
