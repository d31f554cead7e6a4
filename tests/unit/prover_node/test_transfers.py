"""How long files take to come here."""

from __future__ import annotations

from prover_node.duties import FileKind, FileRef
from prover_node.transfers import TransferRate, Transfers

MIB = 1 << 20


def file(name: str, size: int, inline: bytes | None = None) -> FileRef:
    return FileRef(FileKind.INPUT, name, name * 64, size, (), inline)


def test_until_something_was_measured_the_protocols_rate_counts() -> None:
    assert TransferRate().bytes_per_s == 64 * MIB


def test_the_newest_transfers_count_most() -> None:
    rate = TransferRate()
    rate.observe(10 * MIB, 1.0)
    assert rate.bytes_per_s == 10 * MIB
    for _ in range(30):
        rate.observe(MIB, 1.0)
    assert MIB <= rate.bytes_per_s < 1.1 * MIB


def test_small_files_measure_nothing() -> None:
    rate = TransferRate()
    rate.observe(MIB - 1, 100.0)
    assert rate.bytes_per_s == 64 * MIB


def test_a_transfer_in_no_time_is_no_division_by_zero() -> None:
    rate = TransferRate()
    rate.observe(MIB, 0.0)
    assert rate.bytes_per_s == 1000 * MIB


def test_only_what_is_missing_is_fetched_and_the_same_bytes_once() -> None:
    transfers = Transfers(frozenset({"a" * 64}), 10)
    files = (file("a", 100), file("b", 25), file("b", 25), file("c", 7, b"inline!"))
    assert transfers.missing(files) == 25
    assert transfers.ms(25) == 2500
    assert transfers.ms(1) == 100
    assert not transfers.no_room(files)
