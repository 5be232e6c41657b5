"""An OpenAI-compatible gateway: agents in any language read their tool outputs compressed by changing only their base URL."""
