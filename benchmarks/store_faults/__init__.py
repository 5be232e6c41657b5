"""Conversations over a shared store that fails in every way: is any step lost, or any byte wrong?"""
