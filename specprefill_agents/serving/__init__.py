"""The scorer and the compressor for many agents: one service that holds the draft, and what its requests look like."""
