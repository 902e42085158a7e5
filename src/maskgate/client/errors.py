"""What a service answers when it does not do what was asked, as exceptions."""

from __future__ import annotations

from maskgate.errors import MaskGateError


class ServiceError(MaskGateError):
    """The service has not done what was asked; the sentence says why.

    Attributes:
        status: of HTTP; None where there was no answer.
        title, detail: of the problem document (RFC 9457), None where there was none.
        retry_after: seconds after which the service wants to be asked again; None where it has not said.
    """

    def __init__(
        self,
        sentence: str,
        status: int | None = None,
        title: str | None = None,
        detail: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.title = title
        self.detail = detail
        self.retry_after = retry_after


class RequestError(ServiceError):
    """The request is wrong: a picture that cannot be read or is too large, a filter that makes no sense."""


class AccessError(ServiceError):
    """The token is missing, unknown, or may not do this."""


class BusyError(ServiceError):
    """The service was still too busy after all tries."""


class UnreachableError(ServiceError):
    """There is no connection, or no answer in time."""


class AnswerError(ServiceError):
    """The answer is none of maskgate's: another service, something in between, or a fault of the service."""
