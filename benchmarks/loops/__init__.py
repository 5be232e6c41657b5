"""Replay of recorded agent runs: what each way of shortening a conversation would have cost, request by request."""
