"""
A key service that seals keys.json itself: Google Cloud KMS, AWS KMS, HashiCorp Vault or OpenBao.

tink's own clients speak to it, and are loaded only when a setting names one. It
is asked once when a process starts and when the file changes, never for a grant
(design section 8). Each call has a limit: a service that is away may hold up a
start, and nothing else.
"""

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from grantkeeper.errors import SealBroken, SettingsInvalid

SETTING = "GRANTKEEPER_KEYS_WRAPPED_BY"

LIMIT = 20.0
"""Seconds that one call may take, with all that its client tries again by itself."""

BOUND = b"grantkeeper keys.json"
"""Associated data of the sealed keyset, where the service knows such a thing; Vault does not."""

EXTRAS = {"gcp-kms": "gcpkms", "aws-kms": "awskms", "hcvault": "vault"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kms:
    """
    One key of a key service.

    Attributes:
        uri: As the setting names it; stands in the file, in the clear.
        aead: tink's primitive on it; each use is a call.
    """

    uri: str
    aead: Any = field(repr=False)
    bound: bytes = BOUND
    limit: float = LIMIT

    def seal(self, keyset: bytes) -> bytes:
        """
        tink's JSON of the encrypted keyset.

        Raises:
            SealBroken: The service refuses, or does not answer in time.
        """
        from tink import json_proto_keyset_format, secret_key_access

        handle = json_proto_keyset_format.parse(keyset.decode(), secret_key_access.TOKEN)
        sealed: str = self._asked(
            "seal", lambda: json_proto_keyset_format.serialize_encrypted(handle, self.aead, self.bound)
        )
        return sealed.encode()

    def open(self, sealed: bytes) -> bytes:
        """
        tink's JSON of the keyset, in the clear.

        Raises:
            SealBroken: The service refuses, or does not answer in time.
        """
        from tink import aead, json_proto_keyset_format, secret_key_access

        aead.register()
        handle = self._asked(
            "open",
            lambda: json_proto_keyset_format.parse_encrypted(sealed.decode(), self.aead, self.bound),
        )
        opened: str = json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
        return opened.encode()

    def _asked(self, what: str, call: Callable[[], T]) -> T:
        try:
            return within(self.limit, call)
        except TimeoutError:
            raise SealBroken(
                f"the KMS did not {what} keys.json within {self.limit:g} seconds",
                hint="Processes that run go on with their keys; a new one starts when the KMS is back.",
            ) from None
        except Exception as error:  # noqa: BLE001 - each client has errors of its own
            # The text may quote the request; what went wrong is in the names of the errors.
            raise SealBroken(
                f"the KMS did not {what} keys.json ({_kinds(error)})",
                hint=f"See that {SETTING} names the right key, that this machine reaches it, and that it "
                "may encrypt and decrypt with it.",
            ) from None


def open_kms(uri: str | None) -> Kms | None:
    """
    The key that *uri* names; nothing is asked yet.

    Raises:
        SettingsInvalid: Its extra is not installed, or the URI is not one of its service.
        SealBroken: The client finds no credentials, or cannot be made.
    """
    if uri is None:
        return None
    scheme = uri.split("://", 1)[0]
    try:
        aead = within(LIMIT, lambda: _CLIENTS[scheme](uri))
    except ImportError:
        raise SettingsInvalid(
            [f"{SETTING} needs the extra `{EXTRAS[scheme]}`, which is not installed"],
            hint=f"pip install 'grantkeeper[{EXTRAS[scheme]}]'",
        ) from None
    except SettingsInvalid:
        raise
    except Exception as error:  # noqa: BLE001 - each client has errors of its own
        raise SealBroken(
            f"the client of the KMS cannot be made ({_kinds(error)})",
            hint=f"See that {SETTING} names a key as its service writes it, and that there are credentials.",
        ) from None
    return Kms(uri, aead, b"" if scheme == "hcvault" else BOUND)


def _google(uri: str) -> Any:
    from tink.integration import gcpkms

    return gcpkms.GcpKmsClient(uri).get_aead(uri)


def _aws(uri: str) -> Any:
    from tink.integration import awskms

    return awskms.AwsKmsClient(uri, None).get_aead(uri)


def _vault(uri: str) -> Any:
    """``hcvault://HOST[:PORT]/MOUNT/keys/NAME``; token, namespace and CA from Vault's own variables."""
    import hvac
    from tink.integration import hcvault

    host, path = uri.removeprefix("hcvault://").split("/", 1)
    address = os.environ.get("VAULT_ADDR", "")
    if not (address.startswith("http://") and address.removeprefix("http://").rstrip("/") == host):
        address = f"https://{host}"
    elif not host.startswith(("127.0.0.1", "[::1]", "localhost")):
        raise SettingsInvalid([f"{SETTING}: VAULT_ADDR is plain http, which is for loopback only"])
    client = hvac.Client(
        url=address,
        namespace=os.environ.get("VAULT_NAMESPACE") or None,
        timeout=LIMIT,
    )
    return hcvault.new_aead(path, client)


_CLIENTS: dict[str, Callable[[str], Any]] = {"gcp-kms": _google, "aws-kms": _aws, "hcvault": _vault}


def within(seconds: float, call: Callable[[], T]) -> T:
    """
    What *call* returns or raises, from a thread of its own that nothing waits for longer than *seconds*.

    Raises:
        TimeoutError: It is not done; its thread is left to itself and holds up no exit.
    """
    done: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(1)

    def run() -> None:
        try:
            done.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            done.put((None, error))

    threading.Thread(target=run, name="kms", daemon=True).start()
    try:
        result, error = done.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def _kinds(error: BaseException) -> str:
    """The names of *error* and of what it was made of: TinkError alone would say nothing."""
    kinds = [type(error).__name__]
    for inner in (*error.args, error.__cause__):
        if isinstance(inner, BaseException):
            kinds.append(type(inner).__name__)
            code = getattr(inner, "response", None)
            if isinstance(code, dict) and isinstance(code.get("Error", {}).get("Code"), str):
                kinds.append(code["Error"]["Code"])
    return ": ".join(dict.fromkeys(kinds))
