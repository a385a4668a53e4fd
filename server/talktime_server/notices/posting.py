"""The HTTP of webhooks: posts to addresses that were looked at, and says in our words what came of it."""

import ssl
from collections.abc import Mapping, Sequence

import httpx

from talktime_server.notices.addresses import Place
from talktime_server.notices.outcome import TAKEN, Outcome

_GONE = 410


class Sender:
    """Posts; `authority` is a file of certificates to trust instead of the usual ones."""

    def __init__(self, timeout_s: float, authority: str | None) -> None:
        # A connection is used once: kept ones would go by their address alone, whatever name was checked on them.
        self._client = httpx.AsyncClient(
            verify=ssl.create_default_context(cafile=authority),
            follow_redirects=False,
            trust_env=False,
            timeout=timeout_s,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def close(self) -> None:
        """Closes every connection."""
        await self._client.aclose()

    async def send(
        self, place: Place, found: Sequence[str], body: bytes, headers: Mapping[str, str]
    ) -> Outcome:
        """Posts to the first of the addresses that a connection can be made to."""
        try:
            for address in found[:-1]:
                try:
                    return await self._send_to(place, address, body, headers)
                except httpx.ConnectError:
                    continue
            return await self._send_to(place, found[-1], body, headers)
        except httpx.TimeoutException:
            return Outcome("no answer in time")
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            return Outcome(_reason(error))

    async def _send_to(
        self, place: Place, address: str, body: bytes, headers: Mapping[str, str]
    ) -> Outcome:
        scheme = "https" if place.secure else "http"
        host = f"[{address}]" if ":" in address else address
        asked = self._client.stream(
            "POST",
            f"{scheme}://{host}:{place.port}{place.target}",
            content=body,
            headers={**headers, "host": place.authority},
            # The address is connected to, and the certificate must still be the name's.
            extensions={"sni_hostname": place.host},
        )
        async with asked as answer:
            return _outcome(answer.status_code)


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return TAKEN
    return Outcome(f"HTTP {status}", final=status == _GONE, gone=status == _GONE)


def _reason(error: Exception) -> str:
    """Why nothing was answered, in our words."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "the certificate or the encryption is not good"
        cause = cause.__cause__ or cause.__context__
    return "no connection" if isinstance(error, httpx.ConnectError) else "the answer broke off"
