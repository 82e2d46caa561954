"""
The emulator: Google's side of the job in one process, for tests, demos and development.

It is written from Google's documented behaviour and the specifications alone. It imports nothing from
the rest of grantkeeper, so that one misreading cannot hide on both sides.
"""
