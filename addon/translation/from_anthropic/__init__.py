"""Responses: Anthropic's events become what each dialect's client expects."""
