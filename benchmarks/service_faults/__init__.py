"""Conversations over a scorer service that fails in every way: is any step lost, or any byte wrong?"""
