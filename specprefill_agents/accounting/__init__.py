"""Tokens, prices and what was billed."""
