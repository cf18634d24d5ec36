"""TLS that fails before a request was sent has done nothing; what fails later may have been carried out."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reconciler.errors import ReconcilerError, Transient, UnknownOutcome
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.api import INFERENCE_SERVICES, Call
from reconciler.systems.serving.connect import Connection
from tests.hanging import playing
from tests.systems.serving.scripted import service, write_kubeconfig

READ = Call("get", INFERENCE_SERVICES, "models", "iris")
CREATE = Call("create", INFERENCE_SERVICES, "models", "iris", body=service("iris", "1"))
PATCH = Call("patch", INFERENCE_SERVICES, "models", "iris", body={})


@dataclass(frozen=True, slots=True)
class Breaking:
    """A server that reads a request over TLS, and answers it past the TLS that was agreed on."""

    kubeconfig: Path
    requests: list[bytes] = field(default_factory=list)

    def trusts(self, authority: Path | None) -> Connection:
        """Connect as somebody who trusts this authority; None is the world's own."""
        content = json.loads(self.kubeconfig.read_text(encoding="utf-8"))
        content["clusters"][0]["cluster"] |= {"certificate-authority": str(authority)} if authority else {}
        self.kubeconfig.write_text(json.dumps(content), encoding="utf-8")
        return Connection(KubernetesSettings(kubeconfig=self.kubeconfig, timeout=timedelta(seconds=5)))


def certify(folder: Path) -> None:
    """Write the key and the certificate of a server on 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = made.add_extension(address, critical=False).sign(key, hashes.SHA256())
    (folder / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "server.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, plain))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Breaking]:
    certify(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    found = Breaking(tmp_path / "kubeconfig")

    def breaks(connection: socket.socket, over: threading.Event) -> None:
        del over
        with context.wrap_socket(connection, server_side=True) as secured:
            found.requests.append(secured.recv(65536))
            with socket.socket(fileno=secured.detach()) as bare:
                bare.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

    with ExitStack() as running:
        host = running.enter_context(playing(breaks))
        write_kubeconfig(found.kubeconfig, f"https://{host}", "token")
        yield found


@pytest.mark.parametrize("call", [CREATE, PATCH], ids=["a create", "a patch"])
def test_what_breaks_after_a_write_was_sent_leaves_its_outcome_unknown(
    server: Breaking, tmp_path: Path, call: Call
) -> None:
    connection = server.trusts(tmp_path / "server.crt")
    with pytest.raises(UnknownOutcome, match="may or may not have been applied: no answer from https://127"):
        connection.call(call)
    assert server.requests
    connection.close()


@pytest.mark.parametrize("call", [READ, CREATE, PATCH], ids=["a read", "a create", "a patch"])
def test_a_server_that_is_not_trusted_was_asked_nothing(server: Breaking, call: Call) -> None:
    connection = server.trusts(None)
    with pytest.raises(ReconcilerError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        connection.call(call)
    assert type(caught.value) is Transient
    assert not server.requests
    connection.close()
