"""How important is each token of a context for a query."""
