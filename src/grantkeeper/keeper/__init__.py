"""The grant's life: redeem, verify, keep, refresh, hand out, revoke."""
