"""What was used and what it cost: records, periods, snapshot, budget, metrics."""
