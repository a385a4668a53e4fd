"""Money in: payment providers, the client that charges through them, the sandbox that plays them, and what they call back.

The rest of the house needs few names of this room:

- `gateway`: the records `PaymentMethod`, `Intent`, `Result`, `Event` and the words `Outcome`, `EventKind`.
- `payments.Payments`: `charge`, `reconcile` and `check`; `payments.wait_before_round_s` says when to try again.
- `billing.BillingGateway` and `stripe_gateway.StripeGateway`: what the composition root gives to `Payments`.
- `incoming.Incoming` and `listening.listening`: the webhooks of the providers, served.
- `sandbox.Sandbox`: a provider on a loopback port, for the demo and the tests.
- `card.looks_like_card` and `minor_units.payable`: what a request may not contain.
"""
