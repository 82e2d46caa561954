"""What every `Sealer` must do: inherit from `SealerConformance` and give it a ``sealer`` fixture."""

import re

import pytest

from grantkeeper.errors import SealBroken
from grantkeeper.ports import SealContext, Sealer

CLIENT = "111-ours.apps.googleusercontent.com"
CONTEXT = SealContext(CLIENT, "grant-1", "refresh_token", 3)


class SealerConformance:
    """
    The promises of `grantkeeper.ports.Sealer` as tests.

    Fixtures to provide: ``sealer``, any sealer, and ``stranger``, one with other keys.
    """

    @pytest.mark.parametrize("value", ["", "1//marker", "\x00", "ä€𝄞", "\ud800", "x" * 100_000])
    def test_a_sealed_value_opens_in_its_own_context(self, sealer: Sealer, value: str) -> None:
        """
        Whatever the text, what was sealed is what comes out.
        """
        key = sealer.new_key(CLIENT, "grant-1")

        assert value == sealer.unseal(key, sealer.seal(key, value, CONTEXT), CONTEXT)

    @pytest.mark.parametrize(
        "elsewhere",
        [
            SealContext("222-other", "grant-1", "refresh_token", 3),
            SealContext(CLIENT, "grant-2", "refresh_token", 3),
            SealContext(CLIENT, "grant-1", "access_token", 3),
            SealContext(CLIENT, "grant-1", "refresh_token", 4),
            SealContext(CLIENT, "grant-1", "refresh_token"),
            SealContext(CLIENT, "grant-1refresh", "_token", 3),
            SealContext(CLIENT + "g", "rant-1", "refresh_token", 3),
        ],
        ids=["client", "owner", "field", "generation", "no-generation", "owner-field", "client-owner"],
    )
    def test_a_value_moved_elsewhere_does_not_open(self, sealer: Sealer, elsewhere: SealContext) -> None:
        """
        A box opens for no other client, owner, field or generation, nor where the parts are cut elsewhere.
        """
        key = sealer.new_key(CLIENT, "grant-1")
        box = sealer.seal(key, "1//marker", CONTEXT)

        with pytest.raises(SealBroken):
            sealer.unseal(key, box, elsewhere)

    def test_a_box_does_not_open_under_the_data_key_of_another(self, sealer: Sealer) -> None:
        """
        Two data keys of one owner are two keys.
        """
        box = sealer.seal(sealer.new_key(CLIENT, "grant-1"), "1//marker", CONTEXT)

        with pytest.raises(SealBroken):
            sealer.unseal(sealer.new_key(CLIENT, "grant-1"), box, CONTEXT)

    def test_a_data_key_moved_to_another_owner_does_not_open(self, sealer: Sealer) -> None:
        """
        The wrapped key is bound as well: with key and box moved together, nothing opens.
        """
        key = sealer.new_key(CLIENT, "grant-1")

        with pytest.raises(SealBroken):
            sealer.seal(key, "1//marker", SealContext(CLIENT, "grant-2", "refresh_token", 3))

    def test_every_flipped_bit_is_noticed(self, sealer: Sealer) -> None:
        """
        Damage anywhere in the box is `SealBroken`, never another value.
        """
        key = sealer.new_key(CLIENT, "grant-1")
        box = sealer.seal(key, "1//marker", CONTEXT)
        for place in range(len(box)):
            damaged = box[:place] + bytes([box[place] ^ 0x10]) + box[place + 1 :]
            with pytest.raises(SealBroken):
                sealer.unseal(key, damaged, CONTEXT)

    def test_a_flipped_bit_in_the_data_key_is_noticed(self, sealer: Sealer) -> None:
        """
        Damage anywhere in the wrapped key is `SealBroken`.
        """
        key = sealer.new_key(CLIENT, "grant-1")
        box = sealer.seal(key, "1//marker", CONTEXT)
        for place in range(len(key)):
            damaged = key[:place] + bytes([key[place] ^ 0x10]) + key[place + 1 :]
            with pytest.raises(SealBroken):
                sealer.unseal(damaged, box, CONTEXT)

    def test_a_shortened_box_does_not_open(self, sealer: Sealer) -> None:
        """
        However much is cut off the end, the error is `SealBroken`.
        """
        key = sealer.new_key(CLIENT, "grant-1")
        box = sealer.seal(key, "1//marker", CONTEXT)
        for size in range(len(box)):
            with pytest.raises(SealBroken):
                sealer.unseal(key, box[:size], CONTEXT)

    def test_a_shortened_data_key_does_not_open(self, sealer: Sealer) -> None:
        """
        The same for the wrapped key; an erased one is empty.
        """
        key = sealer.new_key(CLIENT, "grant-1")
        box = sealer.seal(key, "1//marker", CONTEXT)
        for size in range(len(key)):
            with pytest.raises(SealBroken):
                sealer.unseal(key[:size], box, CONTEXT)

    def test_other_keys_open_nothing(self, sealer: Sealer, stranger: Sealer) -> None:
        """
        A node with another keys.json can tell so, and that trying again later can help.
        """
        key = sealer.new_key(CLIENT, "grant-1")
        box = sealer.seal(key, "1//marker", CONTEXT)

        with pytest.raises(SealBroken) as caught:
            stranger.unseal(key, box, CONTEXT)

        assert True is caught.value.retry

    def test_equal_values_make_different_boxes(self, sealer: Sealer) -> None:
        """
        A nonce is never used again: a thousand boxes of one value are a thousand boxes.
        """
        key = sealer.new_key(CLIENT, "grant-1")

        assert 1000 == len({sealer.seal(key, "1//marker", CONTEXT) for _ in range(1000)})

    def test_neither_box_nor_error_holds_the_value(self, sealer: Sealer) -> None:
        """
        Nothing of the value is seen in what is stored or said.
        """
        key = sealer.new_key(CLIENT, "grant-1")
        box = sealer.seal(key, "1//marker", CONTEXT)
        with pytest.raises(SealBroken) as caught:
            sealer.unseal(key, box, SealContext(CLIENT, "grant-2", "refresh_token", 3))

        assert b"marker" not in box
        assert "marker" not in str(caught.value.as_record())

    def test_a_digest_is_the_same_every_time(self, sealer: Sealer) -> None:
        """
        Look-ups need it.
        """
        assert sealer.digest("code", "4/abc") == sealer.digest("code", "4/abc")

    def test_digests_are_kept_apart_by_purpose(self, sealer: Sealer) -> None:
        """
        The digest of a code says nothing about an e-mail of the same text, wherever the border is drawn.
        """
        found = {
            sealer.digest("code", "4/abc"),
            sealer.digest("email", "4/abc"),
            sealer.digest("code4", "/abc"),
        }

        assert 3 == len(found)

    def test_a_digest_is_keyed(self, sealer: Sealer, stranger: Sealer) -> None:
        """
        Without the key nobody can guess a value and compare.
        """
        assert sealer.digest("email", "a@example.com") != stranger.digest("email", "a@example.com")

    def test_the_current_digest_comes_first(self, sealer: Sealer) -> None:
        """
        `digests` begins with what `digest` gives, and has no value twice.
        """
        found = sealer.digests("code", "4/abc")

        assert sealer.digest("code", "4/abc") == found[0]
        assert len(found) == len(set(found))

    def test_a_sealer_prints_no_bytes(self, sealer: Sealer) -> None:
        """
        Its repr has names of keys at most.
        """
        assert re.search(r"b['\"]|[A-Za-z0-9+/]{40}", repr(sealer)) is None
