"""A payment provider on a loopback port that behaves as its tokens say: for the demo, the tests, and a look around.

It serves the contract of billing_openapi.yaml and the part of Stripe's API that our gateway uses, sends both kinds of webhooks,
and counts what it really charged, so that a harness can compare. It keeps everything in memory.
"""

from talktime_server.payments.sandbox.bank import Charged, Token
from talktime_server.payments.sandbox.provider import Sandbox
from talktime_server.payments.sandbox.settings import SandboxSettings

__all__ = ["Charged", "Sandbox", "SandboxSettings", "Token"]
