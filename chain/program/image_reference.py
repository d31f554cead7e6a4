"""References to images in registries: ``oci://HOST[:PORT]/REPOSITORY@sha256:DIGEST``."""

from __future__ import annotations

import re
from dataclasses import dataclass

SCHEME = "oci://"
# Source of the repository's grammar: OCI distribution-spec 1.1, "Pulling manifests". Host names in lower case only.
_HOST = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]"
_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"{SCHEME}(?P<host>{_HOST})(?::(?P<port>[1-9][0-9]{{0,4}}))?/(?P<repository>{_WORD}(?:/{_WORD})*)"
    r"@sha256:(?P<sha256>[0-9a-f]{64})"
)
_PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class ImageReference:
    """``host`` is a name, an IPv4 address or an IPv6 address in brackets; ``port`` 0 means the scheme's own.

    ``sha256`` (hex) is the digest of the image's manifest.
    """

    host: str
    port: int
    repository: str
    sha256: str

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL."""
        return f"{self.host}:{self.port}" if self.port else self.host


def parse_image_reference(text: str) -> ImageReference:
    """Raises ValueError if ``text`` isn't such a reference."""
    match = _REFERENCE.fullmatch(text)
    if match is None or int(match["port"] or 0) > _PORT_MAX:
        raise ValueError(f"{text[:80]!r} is not oci://HOST[:PORT]/REPOSITORY@sha256:DIGEST in lower case")
    return ImageReference(match["host"], int(match["port"] or 0), match["repository"], match["sha256"])
