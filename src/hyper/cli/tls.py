"""``--tls``, ``--tlsverify`` and their files, or docker's variables in their place."""

from __future__ import annotations

from hyper.cli.flags import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyper.cli.flags import Arguments
    from hyper.client.tls import TlsFiles

TLS_FLAGS = (
    Flag("--tls", help="Speak TLS to a tcp:// address, whoever answers"),
    Flag("--tlsverify", help="Speak TLS and check who answers (default: $DOCKER_TLS_VERIFY)"),
    Flag(
        "--tlscacert", takes="FILE", help="Who may sign for it (default: $DOCKER_CERT_PATH/ca.pem)"
    ),
    Flag("--tlscert", takes="FILE", help="Our certificate (default: $DOCKER_CERT_PATH/cert.pem)"),
    Flag("--tlskey", takes="FILE", help="Its key (default: $DOCKER_CERT_PATH/key.pem)"),
)


def tls_files(given: Arguments, environ: Mapping[str, str]) -> TlsFiles | None:
    """The files to speak TLS with; None: no TLS. Without flags docker's folder of them counts, if they are there."""
    verify = given.on("--tlsverify") or bool(environ.get("DOCKER_TLS_VERIFY"))
    wanted = verify or given.on("--tls") or bool(environ.get("DOCKER_TLS"))
    if not wanted:
        return None
    import os

    from hyper.client.tls import TlsFiles

    folder = environ.get("DOCKER_CERT_PATH") or environ.get("DOCKER_CONFIG")
    folder = folder or f"{environ.get('HOME', '')}/.docker"

    def file(flag: str, name: str) -> str | None:
        path = f"{folder}/{name}"
        return given.text(flag) or (path if os.path.exists(path) else None)  # noqa: PTH110 (pathlib takes 3 ms)

    return TlsFiles(
        ca=file("--tlscacert", "ca.pem"),
        certificate=file("--tlscert", "cert.pem"),
        key=file("--tlskey", "key.pem"),
        verify=verify,
    )
