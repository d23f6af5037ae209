"""Certificates to test TLS with, made by openssl: nobody else trusts them, and they are valid for two days."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_NEW = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


@dataclass(frozen=True)
class Authority:
    """A CA in a folder, with a server's certificate and a client's, named as docker names them."""

    folder: Path
    #: What the server is called.
    name: str = "localhost"
    address: str = "127.0.0.1"

    @property
    def server_options(self) -> list[str]:
        """hyperd's words: clients need a certificate of this authority."""
        files = {"tlscacert": "ca.pem", "tlscert": "server.pem", "tlskey": "server-key.pem"}
        return ["--tlsverify", *(f"--{name}={self.folder / file}" for name, file in files.items())]

    def make(self) -> None:
        """The files are there."""
        self.folder.mkdir()
        self._openssl(
            "-x509", *_NEW, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=test CA"
        )
        also = f"subjectAltName=DNS:{self.name},IP:{self.address}"
        name = ["-subj", f"/CN={self.name}", "-addext", also]
        self._sign("server.pem", "server-key.pem", *name, "-addext", "extendedKeyUsage=serverAuth")
        self._sign(
            "cert.pem", "key.pem", "-subj", "/CN=client", "-addext", "extendedKeyUsage=clientAuth"
        )

    def _sign(self, certificate: str, key: str, *options: str) -> None:
        signer = [
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca-key.pem",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]
        self._openssl("-x509", *_NEW, "-keyout", key, "-out", certificate, *options, *signer)

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", "req", *words], cwd=self.folder, check=True, capture_output=True)


def authority(folder: Path, name: str = "localhost", address: str = "127.0.0.1") -> Authority:
    """A new authority in ``folder``, which is made, and a server called ``name``."""
    made = Authority(folder, name, address)
    made.make()
    return made
