"""Apply recorded blocks in a process of its own: `python -m tests.support.replay RECORD` prints what came of them.

A record is JSON: {"genesis": app_state, "blocks": [[height, time_ms, hash, proposer, votes, [transaction…]]…]}, a vote
being [address, power, signed], and all bytes in hexadecimal. The output has a line a block, with the app hash and every
field of every result.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.signatures import SignatureCache
from chain.state.kv import MemoryKV
from chain.transition import BlockInput, BlockResult, apply_block, init_chain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHAIN_ID = "test-1"


def record(genesis: str, blocks: Iterable[BlockInput]) -> dict[str, Any]:
    return {
        "genesis": genesis,
        "blocks": [
            [
                block.height,
                block.time_ms,
                block.hash.hex(),
                block.proposer.hex(),
                [[address.hex(), power, signed] for address, power, signed in block.votes],
                [raw.hex() for raw in block.txs],
            ]
            for block in blocks
        ],
    }


def replay(recorded: dict[str, Any]) -> Iterator[str]:
    """The genesis and each block as a line of JSON."""
    values, nodes = MemoryKV(), MemoryKV()
    result = init_chain(recorded["genesis"].encode())
    _write(values, nodes, result)
    yield line(result)
    signatures = SignatureCache()
    for height, time_ms, block_hash, proposer, votes, txs in recorded["blocks"]:
        block = BlockInput(
            chain_id=CHAIN_ID,
            height=height,
            time_ms=time_ms,
            hash=bytes.fromhex(block_hash),
            txs=tuple(map(bytes.fromhex, txs)),
            proposer=bytes.fromhex(proposer),
            votes=tuple((bytes.fromhex(address), power, signed) for address, power, signed in votes),
        )
        result = apply_block(values, nodes, block, signatures)
        _write(values, nodes, result)
        yield line(result)


def line(result: BlockResult) -> str:
    """Everything that a block gave, in the order in which it was given."""
    return json.dumps(
        {
            "app_hash": result.app_hash.hex(),
            "writes": [[key.hex(), value and value.hex()] for key, value in result.writes.items()],
            "nodes": sorted([key.hex(), value and value.hex()] for key, value in result.nodes.items()),
            "events": [[event.type, event.attributes] for event in result.events],
            "results": [
                [
                    one.code,
                    one.codespace,
                    one.log,
                    one.data.hex(),
                    one.gas_wanted,
                    one.gas_used,
                    [[event.type, event.attributes] for event in one.events],
                ]
                for one in result.results
            ],
        }
    )


def _write(values: MemoryKV, nodes: MemoryKV, result: BlockResult) -> None:
    for rows, writes in ((values, result.writes), (nodes, result.nodes)):
        for key, value in writes.items():
            if value is None:
                rows.delete(key)
            else:
                rows.set(key, value)


if __name__ == "__main__":
    for text in replay(json.loads(Path(sys.argv[1]).read_text())):
        sys.stdout.write(text + "\n")
