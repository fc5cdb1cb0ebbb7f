"""A certificate for one call, so that a phone in the network gets a secure page."""

from __future__ import annotations

import datetime
import ssl

VALID = datetime.timedelta(days=2)


def server_context(names: tuple[str, ...]) -> ssl.SSLContext:
    """Return the server's side of TLS, with a new key that lies in no file afterwards.

    Args:
        names: Host names and addresses that the certificate is for.
    """
    import trustme  # slow to load, and needed for --lan alone

    now = datetime.datetime.now(datetime.UTC)
    issued = trustme.CA().issue_cert(*names, not_before=now - VALID, not_after=now + VALID)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    issued.configure_cert(context)
    return context
