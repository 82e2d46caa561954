"""Where the ports meet the world: databases, network, clock, keys. Nothing here knows a rule."""
