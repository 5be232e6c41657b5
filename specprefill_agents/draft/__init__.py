"""The local draft model: where it comes from, how it is loaded, what is read out of it."""
