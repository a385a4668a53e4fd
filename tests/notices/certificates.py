"""A certificate that signs itself, made with nothing but the standard library: no program has to be there for it."""

import base64
import hashlib
import ipaddress
import secrets
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import gcd
from pathlib import Path

NAMES = ("localhost", "hooks.example.com")
ADDRESSES = ("127.0.0.1", "::1")
_BITS = 2048
_EXPONENT = 65537
_SMALL = [n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2))]


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where the certificate and its key are; who trusts `path` trusts it."""

    path: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """As its server uses it."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.path, self.key)
        return context


def make_certificate(folder: Path) -> Certificate:
    """Makes a key and a certificate that is good for a day."""
    p, q = _prime(_BITS // 2), _prime(_BITS // 2)
    n, d = p * q, pow(_EXPONENT, -1, (p - 1) * (q - 1))
    key = _sequence(
        *map(_integer, (0, n, _EXPONENT, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)))
    )
    body = _body(n)
    signature = pow(int.from_bytes(_padded(body), "big"), d, n).to_bytes(_BITS // 8, "big")
    signed = _sequence(body, _SHA256_RSA, _bits(signature))
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    made.path.write_text(_pem("CERTIFICATE", signed))
    made.key.write_text(_pem("RSA PRIVATE KEY", key))
    return made


def _prime(bits: int) -> int:
    while True:
        candidate = secrets.randbits(bits) | (3 << (bits - 2)) | 1
        if any(candidate % small == 0 for small in _SMALL) or gcd(candidate - 1, _EXPONENT) > 1:
            continue
        if all(_passes(candidate, 2 + secrets.randbelow(candidate - 3)) for _ in range(8)):
            return candidate


def _passes(n: int, base: int) -> bool:
    """One round of Miller and Rabin."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    x = pow(base, odd, n)
    if x in (1, n - 1):
        return True
    for _ in range(twos - 1):
        x = x * x % n
        if x == n - 1:
            return True
    return False


def _body(n: int) -> bytes:
    public = _sequence(_integer(n), _integer(_EXPONENT))
    holder = _sequence(_set(_sequence(_oid("2.5.4.3"), _tagged(0x0C, b"talktime tests"))))
    now = datetime.now(UTC)
    times = (now - timedelta(hours=1), now + timedelta(days=1))
    valid = _sequence(*(_tagged(0x17, f"{at:%y%m%d%H%M%S}Z".encode()) for at in times))
    rsa = _sequence(_oid("1.2.840.113549.1.1.1"), _NULL)
    return _sequence(
        _tagged(0xA0, _integer(2)),
        _integer(secrets.randbits(64) | 1),
        _SHA256_RSA,
        holder,
        valid,
        holder,
        _sequence(rsa, _bits(public)),
        _tagged(0xA3, _extensions(public)),
    )


def _extensions(public: bytes) -> bytes:
    mark = hashlib.sha1(public, usedforsecurity=False).digest()
    names = [_tagged(0x82, name.encode()) for name in NAMES]
    names += [_tagged(0x87, ipaddress.ip_address(each).packed) for each in ADDRESSES]
    return _sequence(
        _extension("2.5.29.19", _sequence(_TRUE), critical=True),
        _extension("2.5.29.15", _tagged(0x03, b"\x02\xa4"), critical=True),
        _extension("2.5.29.14", _tagged(0x04, mark)),
        _extension("2.5.29.35", _sequence(_tagged(0x80, mark))),
        _extension("2.5.29.17", _sequence(*names)),
    )


def _extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    return _sequence(_oid(oid), *([_TRUE] if critical else []), _tagged(0x04, value))


def _padded(body: bytes) -> bytes:
    """The digest as RSA signs it (PKCS #1 v1.5)."""
    algorithm = _sequence(_oid("2.16.840.1.101.3.4.2.1"), _NULL)
    digest = _sequence(algorithm, _tagged(0x04, hashlib.sha256(body).digest()))
    return b"\x00\x01" + b"\xff" * (_BITS // 8 - len(digest) - 3) + b"\x00" + digest


def _tagged(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _set(*parts: bytes) -> bytes:
    return _tagged(0x31, b"".join(parts))


def _bits(content: bytes) -> bytes:
    return _tagged(0x03, b"\x00" + content)


def _integer(value: int) -> bytes:
    return _tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    content = bytearray([first * 40 + second])
    for number in rest:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.insert(0, 0x80 | (number & 0x7F))
        content += bytes(digits)
    return _tagged(0x06, bytes(content))


def _pem(kind: str, content: bytes) -> str:
    text = base64.encodebytes(content).decode()
    return f"-----BEGIN {kind}-----\n{text}-----END {kind}-----\n"


_NULL = b"\x05\x00"
_TRUE = b"\x01\x01\xff"
_SHA256_RSA = _sequence(_oid("1.2.840.113549.1.1.11"), _NULL)
