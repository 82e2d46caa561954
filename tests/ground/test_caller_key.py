"""Caller keys: their form and what is kept of them."""

from hashlib import sha256

import pytest

from grantkeeper.protocol.caller_key import FORM, SIZE, caller_key, key_hash


def test_a_key_has_the_form_that_is_looked_for():
    """
    Whatever the dice say, the service recognises the key.
    """
    for dice in (bytes(SIZE), b"\xff" * SIZE, bytes(range(SIZE))):
        assert FORM.fullmatch(caller_key(dice).reveal().encode())


def test_different_dice_make_different_keys():
    """
    No bit is lost.
    """
    last = bytes(SIZE - 1) + b"\x01"

    assert caller_key(bytes(SIZE)).reveal() != caller_key(last).reveal()


@pytest.mark.parametrize("count", [0, SIZE - 1, SIZE + 1])
def test_a_key_is_never_weaker(count):
    """
    Fewer dice would be a weaker key, and more are a mistake.
    """
    with pytest.raises(ValueError, match="32 random bytes"):
        caller_key(bytes(count))


def test_only_the_hash_is_kept():
    """
    SHA-256 of the key as it is sent.
    """
    key = caller_key(bytes(SIZE)).reveal().encode()

    assert sha256(key).digest() == key_hash(key)
