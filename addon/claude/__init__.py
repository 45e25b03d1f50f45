"""Facts about Claude: models, prices, thinking rules, prompt caching. Pure: no I/O, no clock."""
