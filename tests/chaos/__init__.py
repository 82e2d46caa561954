"""Killing and racing real processes: short with every `make test`, long with `make chaos`."""
