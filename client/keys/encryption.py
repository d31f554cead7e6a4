"""A secret under a passphrase: scrypt makes the key, AES-256-GCM encrypts and authenticates."""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from client.errors import InvalidInput

CIPHER = "scrypt-aes-256-gcm"
# OWASP's recommendation for scrypt: 128 MiB and about half a second.
DEFAULT_LOG_N = 17
_MAX_LOG_N = 20
_R, _P = 8, 1


def encrypt(secret: bytes, passphrase: str, *, bound_to: str, log_n: int = DEFAULT_LOG_N) -> dict[str, str | int]:
    """A JSON object that :func:`decrypt` opens with the same passphrase and ``bound_to``, which isn't kept in it."""
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    sealed = AESGCM(_derive(passphrase, salt, log_n)).encrypt(nonce, secret, bound_to.encode())
    return {
        "cipher": CIPHER,
        "log_n": log_n,
        "salt": b64encode(salt).decode(),
        "nonce": b64encode(nonce).decode(),
        "ciphertext": b64encode(sealed).decode(),
    }


def decrypt(box: Mapping[str, object], passphrase: str, *, bound_to: str) -> bytes:
    """The secret; :class:`InvalidInput` if the passphrase is wrong or the object was changed."""
    try:
        log_n = int(str(box["log_n"]))
        salt, nonce, sealed = (_bytes(box[name]) for name in ("salt", "nonce", "ciphertext"))
    except (KeyError, TypeError, ValueError):
        raise InvalidInput("the encrypted key is damaged: a field is missing or unreadable") from None
    if not 1 <= log_n <= _MAX_LOG_N or len(nonce) != 12:
        raise InvalidInput("the encrypted key is damaged: its parameters are out of range")
    try:
        return AESGCM(_derive(passphrase, salt, log_n)).decrypt(nonce, sealed, bound_to.encode())
    except InvalidTag:
        raise InvalidInput("the passphrase is wrong, or the encrypted key was changed") from None


def _bytes(value: object) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    return b64decode(value, validate=True)


def _derive(passphrase: str, salt: bytes, log_n: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=1 << log_n, r=_R, p=_P).derive(passphrase.encode())
