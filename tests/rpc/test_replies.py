"""How large a failure may be on the wire."""

from hypothesis import given
from hypothesis import strategies as st

from talktime_server.failure import Invalid, Violation
from talktime_server.rpc.framing import status_headers
from talktime_server.rpc.replies import reply_of

SOFT_LIMIT = 8 * 1024  # gRPC clients drop some answers above it, and all above twice as much
OTHER_HEADERS = 512
HEADER_OVERHEAD = 32


@given(st.text(min_size=100, max_size=2000), st.text(max_size=300), st.integers(1, 1000))
def test_every_failure_fits_into_the_metadata_that_a_client_takes(
    message: str, text: str, count: int
) -> None:
    violations = tuple(
        Violation(f"payers[{n}].country", "UNKNOWN_COUNTRY", text) for n in range(count)
    )
    failure = Invalid("UNKNOWN_COUNTRY", message, violations=violations)
    headers = status_headers(reply_of(failure))
    size = sum(len(name) + len(value) + HEADER_OVERHEAD for name, value in headers)
    assert size + OTHER_HEADERS <= SOFT_LIMIT
