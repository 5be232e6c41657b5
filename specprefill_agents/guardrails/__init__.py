"""What keeps compression within bounds in production: versioned settings, switches, circuit breaker, drift, arms, whether it pays."""
