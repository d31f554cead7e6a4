"""Writes a node's state as the genesis of a new chain."""

from __future__ import annotations

from typing import Any

from chain.genesis import export_genesis
from validator_node.genesis_file import ValidatorIdentity, wrap_state
from validator_node.home import HomeError, NodeHome
from validator_node.store import Store, StoreError


def export_state(home: NodeHome, height: int | None) -> dict[str, Any]:
    """The genesis document of the state after `height` (None: the last committed one).

    Validators and consensus parameters are those of the node's own genesis file. The new chain goes on at the next
    height, because open offers and votes name heights, with the same app hash.
    Raises HomeError if the node is running or the height isn't kept.
    """
    genesis = home.read_genesis()
    try:
        store = Store.open(home.app_db)
        try:
            with store.view(height) as view:
                state, next_height = export_genesis(view.values), view.height + 1
        finally:
            store.close()
    except StoreError as error:
        raise HomeError(str(error)) from error
    validators = [
        ValidatorIdentity(
            name=one["name"],
            address=bytes.fromhex(one["address"]),
            pub_key=one["pub_key"],
            power=int(one["power"]),
        )
        for one in genesis["validators"]
    ]
    return wrap_state(genesis["consensus_params"], genesis["chain_id"], validators, state, next_height)
