"""Offline work for users who are away: what a job is, what it may ask for, and how it is run."""
