"""Scores and a budget -> the units that are kept."""
