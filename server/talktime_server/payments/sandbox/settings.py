"""What the sandbox is told: its secrets, where its webhooks go, and how slow its slow tokens are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Secrets that are none, and times in seconds.

    `webhook_url` is where talktime's webhooks are served, without a path; empty sends none. `slow_s` is how
    long the slow token takes before it charges, `hang_s` how long it keeps silent after it charged.
    """

    webhook_url: str = ""
    stripe_key: str = "sk_sandbox"
    stripe_webhook_secret: str = "whsec_sandbox"
    billing_token: str = "billing_sandbox"
    billing_webhook_secret: str = "whsec_c2FuZGJveC1zYW5kYm94LXNhbmRib3gtc2FuZGJveA=="
    slow_s: float = 2.0
    hang_s: float = 30.0
    webhook_after_s: float = 0.02
