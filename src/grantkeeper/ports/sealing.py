"""The keys, and what is closed with them."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SealContext:
    """What a sealed value is bound to: it opens nowhere else."""

    client_id: str
    owner: str
    field: str
    generation: int = 0


class Keyring(Protocol):
    """
    The keys that this process has, and which of them it uses for what is new.

    Keys come and go while it runs. They change on the loop and between its
    steps: what is done there without waiting is done with one and the same keys.
    """

    @property
    def wrap_ids(self) -> tuple[int, ...]:
        """Ids of the wrapping keys, the newest first; the order is the same on every node."""
        ...

    @property
    def index_versions(self) -> tuple[int, ...]:
        """Versions of the index key, the newest first."""
        ...

    @property
    def wrap_in_use(self) -> int | None:
        """The wrapping key of new data keys; ``None`` where it is not here, and nothing is sealed anew."""
        ...

    @property
    def index_version(self) -> int:
        """
        The version of the index key that `Sealer.digest` uses.

        Raises:
            SealBroken: It is not here.
        """
        ...

    @property
    def missing(self) -> frozenset[int]:
        """Ids of wrapping keys that something stored named, and that are not here."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why the newest keys could not be taken, if they could not; the old ones go on."""
        ...

    def use(self, wrap_id: int | None, index_version: int | None) -> None:
        """Use these for what is new from now on, here or not; ``None``: those that the file calls primary."""
        ...

    async def look(self) -> bool:
        """See whether there are other keys than before, and take them; whether it did."""
        ...


class Sealer(Keyring, Protocol):
    """
    Keeps values closed at rest (design section 8). Quick, pure work: nothing here but `look` waits.

    A data key is made once for each grant (or redemption, or signing key) and
    is itself sealed ("wrapped") under the keyset's named wrapping key.
    """

    def new_key(self, client_id: str, owner: str) -> bytes:
        """
        A new data key, wrapped, bound to its client and owner.

        Raises:
            SealBroken: The key that all nodes seal with is not here.
        """
        ...

    def wrap_id(self, data_key: bytes) -> int:
        """
        Id of the wrapping key that *data_key* is under, here or not.

        Raises:
            SealBroken: It is damaged.
        """
        ...

    def rewrap(self, data_key: bytes, client_id: str, owner: str) -> bytes | None:
        """
        The same data key under the wrapping key in use; ``None`` if it is that already.

        Raises:
            SealBroken: It does not open, or the key in use is not here.
        """
        ...

    def seal(self, data_key: bytes, value: str, context: SealContext) -> bytes:
        """*value*, closed under the wrapped *data_key*."""
        ...

    def unseal(self, data_key: bytes, box: bytes, context: SealContext) -> str:
        """
        The value again. Wrap it into its `Secret` on the same line.

        Raises:
            SealBroken: Another key, another context, or damage.
        """
        ...

    def digest(self, purpose: str, value: str) -> bytes:
        """A keyed hash of *value* under the current index key; *purpose* keeps uses apart."""
        ...

    def digests(self, purpose: str, value: str) -> tuple[bytes, ...]:
        """The same under every index key that may have been used, the current one first."""
        ...
