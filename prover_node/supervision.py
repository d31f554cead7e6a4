"""Tells the service manager how the daemon is, if one listens. Source: sd_notify(3), the protocol at NOTIFY_SOCKET."""

from __future__ import annotations

import contextlib
import os
import socket


def tell_manager(*lines: str) -> None:
    """Send assignments such as ``READY=1``; nothing happens where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        # An abstract socket.
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect(address)
        manager.sendall("\n".join(lines).encode())
