"""How asking a payment provider fails. A decline is an answer and never passes through here.

PaymentFailure                 a Failure: `applied` says what is known of the money
├── Transient                  the same request, with the same key, may do better a moment later
│   ├── Unreachable            no connection came about: nothing was sent             NOT_APPLIED
│   ├── Busy                   429, refused before it was looked at                   NOT_APPLIED
│   ├── Silent                 sent, and no whole answer came: late, cut, reset       UNKNOWN
│   ├── ProviderFailed         5xx                                                    UNKNOWN
│   └── InProgress             409, an earlier try with this key is under way         UNKNOWN
├── Resting                    this provider is left alone for now: nothing was sent  NOT_APPLIED
├── Permanent                  it would be refused again
│   ├── NoGateway              no such gateway is set up here                         NOT_APPLIED
│   ├── BadCredentials         401, 403                                               NOT_APPLIED
│   ├── BadRequest             the provider does not take such a request              NOT_APPLIED
│   └── KeyReused              the key was used before with another request           UNKNOWN
├── WrongReply                 the answer does not fit the intent                     UNKNOWN
└── UnreadableReply            HTML, a redirect, over 64 KiB, not as documented       UNKNOWN

BadSignature and UnreadableEvent are a webhook's: they end its request and move no money.
"""

from talktime_server.failure import Applied, Code, Failure


class PaymentFailure(Failure):
    """Asking a provider failed; the sentence names neither secrets nor what the provider wrote."""

    code = Code.UNAVAILABLE
    outcome = Applied.UNKNOWN
    word = "PROVIDER_FAILED"

    def __init__(
        self, message: str, *, reason: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(
            reason or self.word, message, applied=self.outcome, retry_after_s=retry_after_s
        )


class Transient(PaymentFailure):
    """The same request, with the same key, may do better a moment later."""


class Unreachable(Transient):
    """No connection came about, so that nothing was sent."""

    outcome = Applied.NOT_APPLIED
    word = "PROVIDER_UNREACHABLE"


class Busy(Transient):
    """The provider has too much to do and did not look at the request."""

    outcome = Applied.NOT_APPLIED
    word = "PROVIDER_BUSY"


class Silent(Transient):
    """The request left, and no whole answer came back in time."""

    word = "PROVIDER_SILENT"


class ProviderFailed(Transient):
    """The provider says that it failed; it may have charged before it did."""


class InProgress(Transient):
    """An earlier try with this key is still under way at the provider."""

    word = "CHARGE_IN_PROGRESS"


class Resting(PaymentFailure):
    """The provider failed so often that it is left alone for a while, or too many wait for it."""

    outcome = Applied.NOT_APPLIED
    word = "PROVIDER_RESTING"


class Permanent(PaymentFailure):
    """It would be refused again."""

    code = Code.FAILED_PRECONDITION
    outcome = Applied.NOT_APPLIED


class NoGateway(Permanent):
    """No gateway of this name is set up here."""

    word = "NO_GATEWAY"


class BadCredentials(Permanent):
    """The provider does not know us, or does not let us charge."""

    word = "BAD_CREDENTIALS"


class BadRequest(Permanent):
    """The provider does not take such a request: a method it does not know, an amount below its least."""

    word = "PROVIDER_REFUSED"


class KeyReused(Permanent):
    """The key was used before with another request: whatever that one did, this is not its answer."""

    outcome = Applied.UNKNOWN
    word = "KEY_REUSED"


class WrongReply(PaymentFailure):
    """The answer does not fit the intent: another amount, currency, charge or tenant."""

    word = "WRONG_REPLY"


class UnreadableReply(PaymentFailure):
    """The answer is no answer of this provider: HTML, a redirect, over 64 KiB, or not as documented."""

    word = "UNREADABLE_REPLY"


class BadSignature(PaymentFailure):
    """A webhook that nobody signed with our secret, or too long ago."""

    code = Code.UNAUTHENTICATED
    outcome = Applied.NOT_APPLIED
    word = "BAD_SIGNATURE"


class UnreadableEvent(PaymentFailure):
    """A webhook that is signed and cannot be read."""

    code = Code.INVALID_ARGUMENT
    outcome = Applied.NOT_APPLIED
    word = "UNREADABLE_EVENT"
