"""What can go wrong with the store."""

from __future__ import annotations

from prover_node.disk import is_full


class StoreError(Exception):
    """The store can't do it; the message says why."""


class DiskFull(StoreError):
    """There is no room for it, for now."""


class WrongContentError(StoreError):
    """The bytes that came aren't the ones that were named."""


def store_error(error: OSError) -> StoreError:
    """What the disk says, as an error of the store."""
    if is_full(error):
        return DiskFull(f"the disk is full: {error}")
    return StoreError(f"the store can't be written: {error}")


def check_content(digest: str, size: int, came_digest: str, came: int) -> None:
    """Raises WrongContentError unless what came is what was stated."""
    if came != size:
        raise WrongContentError(f"{came} bytes came instead of the {size} stated")
    if came_digest != digest:
        raise WrongContentError(f"the bytes have the sha256 {came_digest}, not {digest}")
