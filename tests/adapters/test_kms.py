"""keys.json sealed by a key service: AWS by moto's server, Vault by a small stand-in, Google without."""

import base64
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from grantkeeper.adapters.keyfile import create_file, read_file, replace_file
from grantkeeper.adapters.keyset import Keyset
from grantkeeper.adapters.kms import Kms, open_kms, within
from grantkeeper.adapters.sealing import generate_keys, load_keys
from grantkeeper.errors import SealBroken, SettingsInvalid
from grantkeeper.testing.sealer_conformance import CLIENT, CONTEXT
from tests.adapters.test_keyset import NOW

REGION = "eu-central-1"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """moto's server with one symmetric key; its URI."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_KMS", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "marker-id")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "marker-secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        made = boto3.client("kms", region_name=REGION).create_key()
        yield "aws-kms://" + made["KeyMetadata"]["Arn"]
    server.stop()


class _Transit(BaseHTTPRequestHandler):
    """
    Vault's transit engine as its API documentation tells it.

    POST /v1/MOUNT/encrypt|decrypt/NAME, base64 in and out, ciphertexts that begin with
    ``vault:v1:``. It turns bytes around instead of encrypting them.
    """

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.calls.append(self.path)  # type: ignore[attr-defined]
        _, _, mount, what, name = self.path.split("/")
        if self.headers.get("x-vault-token") != "marker-token":
            return self._answer(403, {"errors": ["permission denied"]})
        if (mount, name) != ("transit", "grantkeeper"):
            return self._answer(404, {"errors": ["no handler for route"]})
        if what == "encrypt":
            turned = base64.b64encode(base64.b64decode(body["plaintext"])[::-1]).decode()
            return self._answer(200, {"data": {"ciphertext": f"vault:v1:{turned}"}})
        if not body["ciphertext"].startswith("vault:v1:"):
            return self._answer(400, {"errors": ["invalid ciphertext"]})
        plain = base64.b64decode(body["ciphertext"].removeprefix("vault:v1:"))[::-1]
        return self._answer(200, {"data": {"plaintext": base64.b64encode(plain).decode()}})

    def _answer(self, status: int, body: object) -> None:
        sent = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Transit)
    server.calls = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("VAULT_TOKEN", "marker-token")
    yield server
    server.shutdown()
    server.server_close()


def uri_of(vault: ThreadingHTTPServer, name: str = "grantkeeper") -> str:
    return f"hcvault://127.0.0.1:{vault.server_port}/transit/keys/{name}"


def is_sealed(path: Path) -> bool:
    """Whether the file has no key in it that could be read."""
    read = json.loads(path.read_text())
    return "encryptedKeyset" in read["wrap"] and "key" not in read["wrap"] and "keys" not in read["index"]


def test_aws_seals_the_file_and_opens_it(tmp_path: Path, aws: str) -> None:
    """
    Keys made, added, and opened again by another process's client; without the setting the file says no.
    """
    path = tmp_path / "keys.json"
    generate_keys(path, aws, name="one", now=NOW)
    sealer = load_keys(path, aws)
    key = sealer.new_key(CLIENT, "grant-1")
    box = sealer.seal(key, "1//marker", CONTEXT)
    kms = open_kms(aws)
    replace_file(path, lambda keys: keys.with_wrap_key("two", NOW).with_index_key(NOW), kms, kms)
    again = load_keys(path, aws)

    assert is_sealed(path)
    assert aws == json.loads(path.read_text())["wrapped_by"]
    assert "1//marker" == again.unseal(key, box, CONTEXT)
    assert (2, 2) == (len(again.wrap_ids), len(again.index_versions))
    assert sealer.digest("code", "x") == again.digest("code", "x")
    with pytest.raises(SettingsInvalid, match="KEYS_WRAPPED_BY does not say which"):
        load_keys(path)
    with pytest.raises(SettingsInvalid, match="another KMS key"):
        load_keys(path, aws + "0")


def test_a_file_moves_into_a_kms_to_another_and_out(
    tmp_path: Path, aws: str, vault: ThreadingHTTPServer
) -> None:
    """
    The keys stay the same keys all the way.
    """
    path = tmp_path / "keys.json"
    generate_keys(path)
    first = read_file(path)
    services = [None, open_kms(aws), open_kms(uri_of(vault)), None]
    sealed = []
    for before, after in itertools.pairwise(services):
        replace_file(path, lambda keys: keys, before, after)
        sealed.append(is_sealed(path))

    assert [True, True, False] == sealed
    assert read_file(path).holds(first)
    assert first.holds(read_file(path))
    with pytest.raises(SettingsInvalid, match="lies open"):
        read_file(path, services[1])


def test_vault_is_spoken_to_as_its_documentation_says(tmp_path: Path, vault: ThreadingHTTPServer) -> None:
    """
    At the start, and never for what is sealed under the keys.
    """
    path = tmp_path / "keys.json"
    generate_keys(path, uri_of(vault))
    sealer = load_keys(path, uri_of(vault))
    for number in range(10):
        key = sealer.new_key(CLIENT, "grant-1")
        sealer.unseal(key, sealer.seal(key, str(number), CONTEXT), CONTEXT)

    calls = vault.calls  # type: ignore[attr-defined]

    # tink itself opens what it sealed before it gives it out.
    assert [f"/v1/transit/{what}/grantkeeper" for what in ("encrypt", "decrypt", "decrypt")] == calls


def test_a_refusal_names_no_secret(
    tmp_path: Path, vault: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Another token, another key: an error that says who refused, and nothing is left behind.
    """
    for name, token in (("grantkeeper", "marker-wrong"), ("marker-other", "marker-token")):
        monkeypatch.setenv("VAULT_TOKEN", token)
        with pytest.raises(SealBroken, match="did not seal keys") as caught:
            generate_keys(tmp_path / "keys.json", uri_of(vault, name))
        assert "marker" not in caught.value.text + caught.value.hint
    assert [] == list(tmp_path.iterdir())


def test_plain_http_to_vault_is_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A token and a keyset would cross the network in the clear.
    """
    monkeypatch.setenv("VAULT_ADDR", "http://vault.example:8200")

    with pytest.raises(SettingsInvalid, match="loopback only"):
        open_kms("hcvault://vault.example:8200/transit/keys/k")


def test_google_without_credentials_is_an_error_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Its client looks for credentials when it is made. It never met the real service here.
    """
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)

    with pytest.raises(SealBroken, match="DefaultCredentialsError"):
        open_kms("gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/marker")


def test_a_slow_kms_is_given_up() -> None:
    """
    At a start, and by its thread it holds up no exit.
    """

    class Slow:
        def encrypt(self, plain: bytes, bound: bytes) -> bytes:
            time.sleep(30)
            return b""

    with pytest.raises(SealBroken, match=r"within 0\.1 seconds"):
        Keyset.generate().serialise(Kms("aws-kms://x", Slow(), limit=0.1))
    with pytest.raises(TimeoutError):
        within(0.05, lambda: time.sleep(5))


@pytest.mark.anyio
async def test_a_kms_that_is_away_leaves_the_old_keys_at_work(
    tmp_path: Path, vault: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The file changed and its KMS refuses: it is said, tried again by itself, and taken when it works.
    """
    path, kms = tmp_path / "keys.json", open_kms(uri_of(vault))
    create_file(path, Keyset.generate(), kms)
    sealer = load_keys(path, uri_of(vault))
    key = sealer.new_key(CLIENT, "grant-1")
    replace_file(path, lambda keys: keys.with_wrap_key("two", NOW), kms, kms)
    answer = _Transit._answer
    monkeypatch.setattr("grantkeeper.adapters.sealing.AGAIN_AFTER", 0.0)
    sealed = {"errors": ["Vault is sealed"]}
    monkeypatch.setattr(_Transit, "_answer", lambda self, status, body: answer(self, 503, sealed))
    taken = await sealer.look()
    said = sealer.trouble
    quiet = await sealer.look()
    box = sealer.seal(key, "1//marker", CONTEXT)
    monkeypatch.setattr(_Transit, "_answer", answer)

    assert (False, False) == (taken, quiet)
    assert said is not None
    assert said.endswith("the keys read before go on")
    assert "1//marker" == sealer.unseal(key, box, CONTEXT)
    assert True is await sealer.look()
    assert (None, 2) == (sealer.trouble, len(sealer.wrap_ids))


MISSING = """
import sys
sys.modules[sys.argv[1]] = None
from grantkeeper.adapters.kms import open_kms
from grantkeeper.errors import SettingsInvalid
try:
    open_kms(sys.argv[2])
except SettingsInvalid as error:
    print(error.text, error.hint)
"""


@pytest.mark.parametrize(
    "module, uri, extra",
    [
        ("boto3", "aws-kms://arn:aws:kms:eu-central-1:111122223333:key/k", "awskms"),
        ("hvac", "hcvault://vault.example/transit/keys/k", "vault"),
        ("google.cloud.kms_v1", "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k", "gcpkms"),
    ],
)
def test_a_missing_extra_names_what_to_install(module: str, uri: str, extra: str) -> None:
    """
    The command stands in the hint, ready to be copied.
    """
    said = subprocess.run(
        [sys.executable, "-c", MISSING, module, uri], capture_output=True, text=True, check=True, timeout=60
    ).stdout

    assert f"needs the extra `{extra}`" in said
    assert f"pip install 'grantkeeper[{extra}]'" in said


def test_no_client_is_loaded_that_no_setting_names(tmp_path: Path) -> None:
    """
    boto3 alone would take half a second of every start.
    """
    generate_keys(tmp_path / "keys.json")
    code = (
        "import sys; from pathlib import Path; from grantkeeper.adapters.sealing import load_keys; "
        "load_keys(Path(sys.argv[1])); "
        "print([name for name in ('boto3', 'hvac', 'google.cloud.kms_v1') if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "keys.json")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout

    assert "[]\n" == said
