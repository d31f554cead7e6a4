"""The only code that moves money between accounts and pools: every other module calls it.

Amounts are non-negative integers of umill or ucredit. Moves that can fail say so before they change anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofmill.credits.v1.state_pb2 import Account, Pools

from chain import schema
from chain.amount import MAX_AMOUNT, format_amount
from chain.errors import INSUFFICIENT_FUNDS, INVALID_COINS

if TYPE_CHECKING:
    from chain.state.kv import KV, KVReader


def get_or_create_account(kv: KV, address: bytes) -> Account:
    """The account; a new one gets the next number."""
    account = schema.ACCOUNTS.get(kv, address)
    if account is None:
        account = Account(number=schema.ACCOUNT_NUMBERS.next(kv))
        schema.ACCOUNTS.set(kv, address, account)
    return account


def get_pools(kv: KVReader) -> Pools:
    return schema.POOLS.require(kv)


def add_umill(kv: KV, address: bytes, amount: int) -> None:
    """Credit an account, creating it if need be. The other side of the entry is the caller's."""
    account = get_or_create_account(kv, address)
    account.umill += amount
    schema.ACCOUNTS.set(kv, address, account)


def take_umill(kv: KV, address: bytes, amount: int, purpose: str) -> None:
    """Debit an account; INSUFFICIENT_FUNDS if it holds less."""
    account = schema.ACCOUNTS.get(kv, address)
    held = 0 if account is None else account.umill
    if account is None or held < amount:
        raise INSUFFICIENT_FUNDS.error(
            f"{purpose} needs {format_amount(amount, 'umill')}, but the account holds {format_amount(held, 'umill')}"
        )
    account.umill -= amount
    schema.ACCOUNTS.set(kv, address, account)


def move_umill(kv: KV, sender: bytes, recipient: bytes, amount: int) -> None:
    """Move coins from one account to another, which may be the same."""
    take_umill(kv, sender, amount, "the transfer")
    add_umill(kv, recipient, amount)


def charge_fee(kv: KV, account: Account, amount: int) -> None:
    """Move a transaction fee from an account that holds enough to the fee pool; the caller stores the account."""
    account.umill -= amount
    add_fees(kv, amount)


def add_fees(kv: KV, amount: int) -> None:
    """Put umill into the fee pool. The other side of the entry is the caller's."""
    pools = get_pools(kv)
    pools.fees_umill += amount
    schema.POOLS.set(kv, pools)


def bond_umill(kv: KV, operator: bytes, amount: int) -> None:
    """Move a prover's bond out of the operator's account."""
    take_umill(kv, operator, amount, "the bond")
    pools = get_pools(kv)
    pools.bonds_umill += amount
    schema.POOLS.set(kv, pools)


def unbond_umill(kv: KV, operator: bytes, amount: int) -> None:
    """Give a prover's bond, or part of it, back to the operator's account."""
    pools = get_pools(kv)
    pools.bonds_umill -= amount
    schema.POOLS.set(kv, pools)
    add_umill(kv, operator, amount)


def burn_bond(kv: KV, amount: int) -> None:
    """Destroy bonded umill: the burned half of a slash."""
    pools = get_pools(kv)
    pools.bonds_umill -= amount
    pools.umill_supply -= amount
    schema.POOLS.set(kv, pools)


def pool_bond(kv: KV, amount: int) -> None:
    """Move slashed umill from the bonds to the network pool."""
    pools = get_pools(kv)
    pools.bonds_umill -= amount
    pools.network_umill += amount
    schema.POOLS.set(kv, pools)


def mint_umill(kv: KV, address: bytes, wanted: int) -> int:
    """Up to `wanted` new coins for an account, as far as the supply may grow; returns how many."""
    pools = get_pools(kv)
    amount = _room(pools, wanted)
    pools.umill_supply += amount
    schema.POOLS.set(kv, pools)
    add_umill(kv, address, amount)
    return amount


def mint_inflation(kv: KV, wanted: int) -> None:
    """Up to `wanted` new coins for the fee pool, as far as the supply may grow."""
    pools = get_pools(kv)
    amount = _room(pools, wanted)
    if amount:
        pools.umill_supply += amount
        pools.fees_umill += amount
        schema.POOLS.set(kv, pools)


def _room(pools: Pools, wanted: int) -> int:
    """What of an amount can be minted: a block must never stop at a sum that doesn't fit."""
    return min(wanted, MAX_AMOUNT - pools.umill_supply)


def mint_ucredit(kv: KV, address: bytes, amount: int) -> None:
    """New credits for an account; INVALID_COINS if there would be more than fit."""
    pools = get_pools(kv)
    if pools.ucredit_supply + amount > MAX_AMOUNT:
        raise INVALID_COINS.error(f"the chain can't hold more than {MAX_AMOUNT} ucredit in all: grant less")
    pools.ucredit_supply += amount
    schema.POOLS.set(kv, pools)
    account = get_or_create_account(kv, address)
    account.ucredit += amount
    schema.ACCOUNTS.set(kv, address, account)


def escrow_ucredit(kv: KV, user: bytes, amount: int) -> None:
    """Lock a task's fee; INSUFFICIENT_FUNDS if the user holds less."""
    account = schema.ACCOUNTS.get(kv, user)
    held = 0 if account is None else account.ucredit
    if account is None or held < amount:
        raise INSUFFICIENT_FUNDS.error(
            f"the task's fee is {format_amount(amount, 'ucredit')}, but the account holds "
            f"{format_amount(held, 'ucredit')}: have credits granted to it, or ask for less"
        )
    account.ucredit -= amount
    schema.ACCOUNTS.set(kv, user, account)
    pools = get_pools(kv)
    pools.escrow_ucredit += amount
    schema.POOLS.set(kv, pools)


def refund_ucredit(kv: KV, user: bytes, amount: int) -> None:
    """Give escrowed credits back."""
    pools = get_pools(kv)
    pools.escrow_ucredit -= amount
    schema.POOLS.set(kv, pools)
    account = get_or_create_account(kv, user)
    account.ucredit += amount
    schema.ACCOUNTS.set(kv, user, account)


def burn_escrow(kv: KV, amount: int) -> None:
    """Destroy escrowed credits: they are paid out as freshly minted umill, or are the network's share."""
    pools = get_pools(kv)
    pools.escrow_ucredit -= amount
    pools.ucredit_supply -= amount
    schema.POOLS.set(kv, pools)


def pay_subsidy(kv: KV, address: bytes, wanted: int) -> int:
    """Move up to `wanted` umill from the network pool to an account; returns what was left to move."""
    pools = get_pools(kv)
    amount = min(wanted, pools.network_umill)
    if amount:
        pools.network_umill -= amount
        schema.POOLS.set(kv, pools)
        add_umill(kv, address, amount)
    return amount


def take_fees(kv: KV) -> int:
    """Empty the fee pool: the caller must hand the returned umill to somebody."""
    pools = get_pools(kv)
    amount = pools.fees_umill
    if amount:
        pools.fees_umill = 0
        schema.POOLS.set(kv, pools)
    return amount
