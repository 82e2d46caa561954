"""The founding guide's story, played by real processes: what `grantkeeper demo` shows."""
