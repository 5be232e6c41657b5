"""A local page over ledger and audit files: does compression pay, what does it drop, is anything wrong?"""
