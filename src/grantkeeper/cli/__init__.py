"""The command line: for people, and for scripts that read JSON."""
