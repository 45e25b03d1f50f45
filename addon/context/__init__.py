"""Long conversations: counting tokens, summarizing, trimming."""
