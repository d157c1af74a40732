"""What browsers are told not to do with our answers.

Strict-Transport-Security is not among these: this service speaks plain HTTP behind whatever ends TLS, and only
that knows whether every name it serves has a certificate.
"""

from __future__ import annotations

from taskmanager.refusal import RawHeaders

_EVERYWHERE: RawHeaders = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),  # for what knows no frame-ancestors
    # Of no concern to CORS: it stops <img> and <script> of other sites, which send no Origin.
    (b"cross-origin-resource-policy", b"same-origin"),
)

API_SECURITY_HEADERS: RawHeaders = (
    *_EVERYWHERE,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""For answers that are no page: should a browser ever take one for a page, it may load and run nothing."""

# What ReDoc puts into <style> elements by script: nothing, since it fills them later, and the rules of its scroll bar.
_REDOC_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
)

_DOCS_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' {_REDOC_STYLES}",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

DOCS_SECURITY_HEADERS: RawHeaders = (
    *_EVERYWHERE,
    (b"content-security-policy", _DOCS_POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
)
"""For the pages of the documentation, in the place of those above."""
