"""What may be cut from a prompt, along which borders, and how it reads afterwards."""
