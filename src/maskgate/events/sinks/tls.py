"""TLS for sinks: certificates are always verified, against the host's name too."""

from __future__ import annotations

import ssl

from maskgate.errors import DeliveryError
from maskgate.events.settings import TlsSettings
from maskgate.events.sinks.protocol import reason


def create_context(settings: TlsSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer. Raises :class:`~maskgate.errors.DeliveryError` where a file is no certificate."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.certificate is not None:
            # with an empty password, an encrypted key is an error in place of a question at the terminal
            context.load_cert_chain(settings.certificate, settings.key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "reason", None) or reason(error)
        raise DeliveryError(f"the certificates in the settings cannot be used: {why}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
