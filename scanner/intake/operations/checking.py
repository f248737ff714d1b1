"""Check all of a deployment that can be checked without serving."""

from __future__ import annotations

import ssl

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.errors import ArgumentError
from scanner.intake.settings import PREFIX, Deployment
from scanner.intake.store import schema
from scanner.keys import read_private_key


def check(deployment: Deployment) -> list[str]:
    """Read the key, the certificate and the database's version.

    Returns:
        what is allowed but unsafe, a line each.

    Raises:
        KeyFileError, ArgumentError, StorageError: what would keep the service from starting.
    """
    read_private_key(deployment.signing_key_path, Ed25519PrivateKey)
    _check_tls(deployment)
    schema.check(deployment.database_url)
    settings = deployment.settings
    warnings = {
        "devices enrol without a token: anyone can make as many as they like": settings.unsafe_open_enrolment,
        "webhooks may go to private addresses: who sets one reaches what the intake reaches": (
            settings.unsafe_private_hooks
        ),
        f"{PREFIX}ORIGIN is not set: the audit log is named localhost, for its whole life": deployment.origin is None,
        "SQLite takes one machine's workers; for more machines use PostgreSQL": (
            deployment.database_url.startswith("sqlite") and deployment.workers > 1
        ),
    }
    return [text for text, applies in warnings.items() if applies]


def _check_tls(deployment: Deployment) -> None:
    if deployment.tls_certificate is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            deployment.tls_certificate, deployment.tls_key, password=lambda: ""
        )
    except OSError as error:  # ssl.SSLError is one
        raise ArgumentError(
            f"{PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY can't be used together: "
            f"{getattr(error, 'reason', None) or error.strerror or type(error).__name__}"
        ) from error
