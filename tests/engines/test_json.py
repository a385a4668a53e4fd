"""JSON over HTTP, for routers that have an HTTP client and no gRPC: Envoy turns it into the same calls."""

import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from engines.echo_app import QUOTE, SETTLE
from engines.kit import running
from talktime_server.config import Engine


async def test_a_call_in_json_is_answered_in_json(tmp_path: Path) -> None:
    async with running(tmp_path, engine=Engine.ENVOY) as service:
        body = {"call_type": "CALL_TYPE_USER_OUT", "requested_seconds": "60"}
        status, answer = await asyncio.to_thread(post, service.address, QUOTE, body)
    assert status == 200
    # Names as in the contract, int64 as text, zeros spelled out.
    assert (answer["granted_seconds"], answer["final_grant"]) == ("60", False)


async def test_a_failure_in_json_has_its_details(tmp_path: Path) -> None:
    async with running(tmp_path, engine=Engine.ENVOY) as service:
        status, answer = await asyncio.to_thread(post, service.address, SETTLE, {})
    assert status == 400
    assert answer["code"] == 3
    info, request = answer["details"]
    assert (info["reason"], info["metadata"]["outcome"]) == ("NOT_E164", "NOT_APPLIED")
    assert request["field_violations"][0]["field"] == "to_number"


async def test_what_is_no_call_is_refused_as_http_does(tmp_path: Path) -> None:
    async with running(tmp_path, engine=Engine.ENVOY) as service:
        ask = (service.address, "/nothing", b"x", "text/html")
        assert (await asyncio.to_thread(send, *ask))[0] == 415
        garbage = (service.address, QUOTE, b"{", "application/json")
        assert (await asyncio.to_thread(send, *garbage))[0] == 400


def post(address: str, path: str, body: object) -> tuple[int, Any]:
    status, answer = send(address, path, json.dumps(body).encode(), "application/json")
    return status, json.loads(answer)


def send(address: str, path: str, body: bytes, content_type: str) -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://{address}{path}", body)
    request.add_header("content-type", content_type)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()
