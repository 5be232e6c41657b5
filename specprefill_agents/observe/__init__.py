"""What happened: audit records and explanations."""
