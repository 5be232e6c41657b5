"""A trial on recorded conversations: what compression would have kept, saved and risked. Nothing is executed, nothing is sent."""
