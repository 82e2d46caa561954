"""Failures of the `Http` port after which the request surely never arrived, and TLS."""

import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from grantkeeper.adapters.http import AiohttpHttp
from grantkeeper.protocol.message import HttpRequest
from tests.adapters.hostile import BODY, LIMIT, OK, failure, hangs, hostile, says

pytestmark = pytest.mark.anyio


@pytest.fixture
async def http() -> AsyncIterator[AiohttpHttp]:
    adapter = AiohttpHttp()
    yield adapter
    await adapter.close()


# -- what surely never arrived ------------------------------------------------------------------


async def test_a_refused_connection_carried_nothing(http: AiohttpHttp) -> None:
    """
    Nobody listens: the request may be sent again.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await failure(http, HttpRequest("POST", f"http://127.0.0.1:{taken.getsockname()[1]}/", BODY))

    assert False is error.may_have_arrived
    assert "Connection refused" in str(error)


async def test_an_unknown_host_got_nothing(http: AiohttpHttp) -> None:
    """
    A name that never resolves (RFC 2606).
    """
    error = await failure(http, HttpRequest("POST", "https://nowhere.invalid/token", BODY), seconds=20)

    assert False is error.may_have_arrived


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/token",
        "http://accounts.google.com/token",
        "http://127.0.0.1.example/token",
        "https://user:password@accounts.google.com/token",
        "ftp://127.0.0.1/token",
        "file:///etc/passwd",
        "https://accounts.google.com:port/token",
        "https://",
        "",
        "https://accounts.google.com/a b",
        "https://accounts.google.com/\r\nX-Forged: 1",
        "https://accounts.google.com/\u00e4",
    ],
)
async def test_an_address_that_secrets_may_not_go_to_is_refused_before_sending(
    http: AiohttpHttp, url: str
) -> None:
    """
    Plain HTTP stays on this machine, and nothing odd becomes a request line.
    """
    error = await failure(http, HttpRequest("POST", url, BODY), seconds=1)

    assert False is error.may_have_arrived
    assert "the address is not one that secrets may go to" == str(error)


async def test_a_failed_tls_handshake_carried_nothing(http: AiohttpHttp) -> None:
    """
    A server that does not speak TLS, or hangs up at once.
    """
    for on_connect in (says(b"HTTP/1.1 400 Bad\r\n\r\n"), says(b"")):
        async with hostile(on_connect=on_connect) as heard:
            error = await failure(http, HttpRequest("POST", heard.url(scheme="https"), BODY))

        assert False is error.may_have_arrived


async def test_a_handshake_that_never_ends_carried_nothing(http: AiohttpHttp) -> None:
    """
    The time limit covers it, and knows that nothing was sent.
    """
    async with hostile(hangs) as heard:
        error = await failure(http, HttpRequest("POST", heard.url(scheme="https"), BODY), seconds=2)

    assert False is error.may_have_arrived
    assert "2 seconds" in str(error)


def certificate(folder: Path, host: str) -> ssl.SSLContext:
    """A server's TLS context with a certificate of its own signing for *host*."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    alternative = x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    (folder / "certificate.pem").write_bytes(pem)
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


async def test_a_certificate_that_nobody_vouches_for_gets_nothing(http: AiohttpHttp, tmp_path: Path) -> None:
    """
    Verification is always on.
    """
    async with hostile(says(OK), tls=certificate(tmp_path, "127.0.0.1")) as heard:
        error = await failure(http, HttpRequest("POST", heard.url(scheme="https"), BODY))

    assert (False, []) == (error.may_have_arrived, heard.requests)


async def test_a_certificate_of_a_private_authority_is_taken_by_name_only(tmp_path: Path) -> None:
    """
    With its authority trusted, the right name works and another name does not.
    """
    for host, works in (("127.0.0.1", True), ("other.example", False)):
        server = certificate(tmp_path, host)
        adapter = AiohttpHttp(tls=ssl.create_default_context(cafile=tmp_path / "certificate.pem"))
        async with hostile(says(OK), tls=server) as heard:
            request = HttpRequest("POST", heard.url(scheme="https"), BODY)
            if works:
                assert 200 == (await adapter.send(request, seconds=5, largest=LIMIT)).status
            else:
                assert False is (await failure(adapter, request)).may_have_arrived
        await adapter.close()


def test_a_tls_context_that_does_not_verify_is_refused() -> None:
    """
    There is no way to switch verification off.
    """
    blind = ssl.create_default_context()
    blind.check_hostname = False
    for context in (blind, ssl._create_unverified_context()):
        with pytest.raises(ValueError, match="does not verify"):
            AiohttpHttp(tls=context)
