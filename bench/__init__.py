"""
``make bench``: what grantkeeper costs, measured beside what it is compared with.

Every figure that compares two things measures them in turns within one run, so
that a busy machine slows both. Nothing here passes or fails by speed. It needs
Linux: memory and processor time are read from ``/proc``. The PostgreSQL that is
measured is a server of its own, from the wheel that the tests use.
"""
