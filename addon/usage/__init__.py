"""Records usage and its cost: ledger, budget, saved snapshot, metrics, live events, subscription state."""
