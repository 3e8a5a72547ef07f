"""ServiceAccount tokens: signed JWTs bound to the account, and to a pod or a Secret if asked.

https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ and RFC 7519
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from netemu.api.kind import Object

ISSUER = "https://kubernetes.default.svc.cluster.local"
BOUND_KINDS = ("pod", "secret")
"""What a token may be bound to, beside its account."""
_ALGORITHM = ec.ECDSA(hashes.SHA256())
_HALF = 32


class TokenError(Exception):
    """The token is no good: not ours, changed, or too old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says of its bearer; `bound_kind` is "pod" or "secret", or empty."""

    namespace: str
    account: str
    account_uid: str
    bound_kind: str = ""
    bound_name: str = ""
    bound_uid: str = ""
    audiences: tuple[str, ...] = ()
    expires: float = 0.0


class Signer:
    """Makes and checks tokens with one key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key, self._public = key, key.public_key()
        der = self._public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._key_id = _encode(hashlib.sha256(der).digest())

    def issue(self, claims: Claims, now: float) -> str:
        bound: dict[str, Any] = {
            "namespace": claims.namespace,
            "serviceaccount": {"name": claims.account, "uid": claims.account_uid},
        }
        if claims.bound_kind:
            bound[claims.bound_kind] = {"name": claims.bound_name, "uid": claims.bound_uid}
        payload = {
            "aud": list(claims.audiences or (ISSUER,)),
            "exp": int(claims.expires),
            "iat": int(now),
            "iss": ISSUER,
            "kubernetes.io": bound,
            "nbf": int(now),
            "sub": f"system:serviceaccount:{claims.namespace}:{claims.account}",
        }
        header = {"alg": "ES256", "kid": self._key_id}
        signed = f"{_encode(msgspec.json.encode(header))}.{_encode(msgspec.json.encode(payload))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), _ALGORITHM))
        return f"{signed}.{_encode(r.to_bytes(_HALF, 'big') + s.to_bytes(_HALF, 'big'))}"

    def check(self, token: str, now: float, audiences: Sequence[str] = (ISSUER,)) -> Claims:
        """What the token says; TokenError when it must not be believed."""
        try:
            signed, _, signature = token.rpartition(".")
            raw = _decode(signature)
            if len(raw) != 2 * _HALF:
                raise TokenError("the signature has the wrong length")
            r, s = int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big")
            self._public.verify(encode_dss_signature(r, s), signed.encode(), _ALGORITHM)
            payload = msgspec.json.decode(_decode(signed.partition(".")[2]))
            return self._claims(payload, now, audiences)
        except (
            InvalidSignature,
            binascii.Error,
            msgspec.DecodeError,
            KeyError,
            TypeError,
        ) as error:
            raise TokenError("the token is not valid") from error
        except ValueError as error:
            raise TokenError(f"the token is not valid: {error}") from error

    def _claims(self, payload: Object, now: float, audiences: Sequence[str]) -> Claims:
        if not payload["nbf"] - 60 <= now < payload["exp"]:
            raise TokenError("the token has expired or is not valid yet")
        if payload["iss"] != ISSUER or not set(payload["aud"]) & set(audiences):
            raise TokenError("the token is for somebody else")
        bound = payload["kubernetes.io"]
        kind = next((kind for kind in BOUND_KINDS if kind in bound), "")
        other = bound.get(kind) or {}
        return Claims(
            namespace=bound["namespace"],
            account=bound["serviceaccount"]["name"],
            account_uid=bound["serviceaccount"]["uid"],
            bound_kind=kind,
            bound_name=other.get("name", ""),
            bound_uid=other.get("uid", ""),
            audiences=tuple(payload["aud"]),
            expires=float(payload["exp"]),
        )

    def key_set(self) -> Object:
        """The public key as `/openid/v1/jwks` shows it (RFC 7517)."""
        numbers = self._public.public_numbers()
        return {
            "keys": [
                {
                    "use": "sig",
                    "kty": "EC",
                    "kid": self._key_id,
                    "crv": "P-256",
                    "alg": "ES256",
                    "x": _encode(numbers.x.to_bytes(_HALF, "big")),
                    "y": _encode(numbers.y.to_bytes(_HALF, "big")),
                }
            ]
        }


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
