import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from netemu.apiserver.auth.tokens import Claims, Signer, TokenError

BOUND = {"bound_kind": "pod", "bound_name": "p", "bound_uid": "v"}
CLAIMS = Claims(namespace="a", account="b", account_uid="u", expires=2000.0, **BOUND)


@pytest.fixture
def signer() -> Signer:
    return Signer(ec.generate_private_key(ec.SECP256R1()))


def test_what_was_signed_is_believed(signer):
    found = signer.check(signer.issue(CLAIMS, 1000), 1500)
    assert (found.namespace, found.account, found.bound_uid) == ("a", "b", "v")


def test_time_audience_and_key_matter(signer):
    token = signer.issue(CLAIMS, 1000)
    for now in (2000, 900):
        with pytest.raises(TokenError, match="expired"):
            signer.check(token, now)
    with pytest.raises(TokenError, match="somebody else"):
        signer.check(token, 1500, ("vault",))
    with pytest.raises(TokenError):
        Signer(ec.generate_private_key(ec.SECP256R1())).check(token, 1500)


def test_a_changed_token_is_refused(signer):
    head, payload, signature = signer.issue(CLAIMS, 1000).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["sub"] = "system:serviceaccount:kube-system:admin"
    claims["kubernetes.io"]["namespace"] = "kube-system"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    for token in (
        f"{head}.{forged}.{signature}",
        f"{none}.{payload}.",
        f"{head}.{payload}.{signature[:-4]}AAAA",
        "a.b.c",
        "....",
        "",
        "ü.ü.ü",
    ):
        with pytest.raises(TokenError):
            signer.check(token, 1500)
