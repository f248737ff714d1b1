"""Security headers of every answer.

Rules: an answer says as little as it can unless a route says otherwise: a header that a route sets stays; what a
browser may do with an answer of the API is nothing. The values are those of the OWASP Secure Headers Project, but for
``includeSubDomains``: other names of the operator's domain are not ours to decide on.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Content-Security-Policy of answers that no browser is meant to show."""

CONSOLE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy for pages with own scripts and styles in files; routes of the console set it themselves."""

_UNUSED = (
    "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen", "geolocation",
    "gyroscope", "magnetometer", "microphone", "midi", "payment", "picture-in-picture",
    "publickey-credentials-get", "screen-wake-lock", "usb", "xr-spatial-tracking",
)  # fmt: skip

HEADERS = {
    "Content-Security-Policy": API_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Permitted-Cross-Domain-Policies": "none",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _UNUSED),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-store",
}
STRICT_TRANSPORT = "max-age=31536000"


class SecurityHeaders:
    """ASGI middleware that adds what a route has not set.

    Args:
        app: what serves.
        encrypted: clients come over TLS, here or at a proxy; only then a browser is told to insist on it (RFC 6797
            section 7.2 forbids it otherwise).
    """

    def __init__(self, app: ASGIApp, *, encrypted: bool) -> None:
        self._app = app
        values = HEADERS | ({"Strict-Transport-Security": STRICT_TRANSPORT} if encrypted else {})
        self._headers = [(name.lower().encode(), value.encode()) for name, value in values.items()]
        self._names = frozenset(name for name, _ in self._headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message.get("headers", ())
                present = self._names.intersection(name.lower() for name, _ in given)
                ours = [each for each in self._headers if each[0] not in present] if present else self._headers
                message["headers"] = [*given, *ours]
            await send(message)

        await self._app(scope, receive, send_with_headers)
