"""Source-free adaptation: a network that the source has trained goes on with the target's images alone."""
