"""From a request's credentials to its user: the socket, a certificate, or a bearer token.

Wrong credentials are 401; none at all make an anonymous user, who may read little.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping, Sequence
from socket import AF_UNIX
from weakref import WeakKeyDictionary

from netemu.api.kind import Object
from netemu.apiserver.auth.tokens import ISSUER, Claims, Signer, TokenError
from netemu.apiserver.auth.user import ADMIN, ANONYMOUS, AUTHENTICATED, User, service_account
from netemu.errors import ApiError

Lookup = Callable[[str, str, str], Object | None]
"""(plural, namespace, name) → the present object of the core group."""


class Authenticator:
    def __init__(
        self,
        signer: Signer,
        lookup: Lookup,
        now: Callable[[], float],
        static_tokens: Mapping[str, User],
    ) -> None:
        self._signer, self._lookup, self._now = signer, lookup, now
        self._static = static_tokens
        self._peers: WeakKeyDictionary[asyncio.Transport, User] = WeakKeyDictionary()

    def user(self, headers: Mapping[str, str], transport: asyncio.Transport | None) -> User:
        """Who sent a request; ApiError Unauthorized when he is not who he says."""
        peer = self._peer(transport) if transport is not None else ANONYMOUS
        if peer is ADMIN:
            return ADMIN
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return self.bearer(token.strip())
        if scheme:
            raise unauthorized()
        return peer

    def _peer(self, transport: asyncio.Transport) -> User:
        """Who is at the other end, without a word from him: that stays for a connection."""
        known = self._peers.get(transport)
        if known is None:
            known = ADMIN if is_local(transport) else _certified(transport) or ANONYMOUS
            self._peers[transport] = known
        return known

    def bearer(self, token: str, audiences: Sequence[str] = ()) -> User:
        for known, user in self._static.items():
            if hmac.compare_digest(known.encode(), token.encode()):
                return user
        return self._account(self._claims(token, audiences))

    def audiences(self, token: str, asked: Sequence[str]) -> list[str]:
        """For which of `asked`, or of all without any, a token is good that `bearer` accepted."""
        if token in self._static:
            return list(asked)
        meant = self._claims(token, asked).audiences
        return [audience for audience in asked or meant if audience in meant]

    def _claims(self, token: str, audiences: Sequence[str]) -> Claims:
        try:
            return self._signer.check(token, self._now(), audiences or (ISSUER,))
        except TokenError as error:
            raise unauthorized() from error

    def _account(self, claims: Claims) -> User:
        """A token dies with its ServiceAccount and with what it is bound to."""
        if not self._exists("serviceaccounts", claims, claims.account, claims.account_uid):
            raise unauthorized()
        if claims.bound_kind and not self._exists(
            f"{claims.bound_kind}s", claims, claims.bound_name, claims.bound_uid
        ):
            raise unauthorized()
        user = service_account(claims.namespace, claims.account, claims.account_uid)
        if claims.bound_kind != "pod":
            return user
        extra = {
            "authentication.kubernetes.io/pod-name": (claims.bound_name,),
            "authentication.kubernetes.io/pod-uid": (claims.bound_uid,),
        }
        return User(name=user.name, groups=user.groups, uid=user.uid, extra=extra)

    def _exists(self, plural: str, claims: Claims, name: str, uid: str) -> bool:
        found = self._lookup(plural, claims.namespace, name)
        return found is not None and found["metadata"]["uid"] == uid


def is_local(transport: asyncio.Transport) -> bool:
    """Whether it came over the unix socket, which only root can open."""
    socket = transport.get_extra_info("socket")
    return socket is not None and socket.family == AF_UNIX


def _certified(transport: asyncio.Transport) -> User | None:
    """The user that a verified client certificate names: CN, and a group for every O."""
    certificate = transport.get_extra_info("peercert")
    if not certificate:
        return None
    pairs = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for key, value in pairs if key == "commonName"]
    groups = [value for key, value in pairs if key == "organizationName"]
    if not names:
        return None
    return User(name=names[-1], groups=(*groups, AUTHENTICATED))


def unauthorized() -> ApiError:
    return ApiError("Unauthorized", "Unauthorized")
