"""What can go wrong between a client and a chain, each as one sentence that says what to do."""

from __future__ import annotations


class ClientError(Exception):
    """Anything that a user of this package may want to catch; ``str()`` is one sentence."""


class NodeUnreachable(ClientError):
    """No answer from the node: nothing listens, it doesn't answer in time, or it isn't a CometBFT node."""


class WrongChain(ClientError):
    """The node follows another chain than the caller expects."""


class RpcFailed(ClientError):
    """The node answered with a JSON-RPC error.

    ``code`` and ``detail`` are its own.
    """

    def __init__(self, method: str, code: int, detail: str) -> None:
        super().__init__(f"the node refused {method}: {detail}")
        self.method, self.code, self.detail = method, code, detail


class QueryFailed(ClientError):
    """The application refused a query; ``codespace`` and ``code`` are its numbered error."""

    def __init__(self, path: str, codespace: str, code: int, log: str) -> None:
        super().__init__(f"{log or 'the chain gave no reason'} ({codespace} {code})")
        self.path, self.codespace, self.code, self.log = path, codespace, code, log


class TxRejected(ClientError):
    """The chain refused a transaction, before a block (``height`` 0) or in one.

    In a block, its fee and sequence are spent all the same.
    """

    def __init__(self, codespace: str, code: int, log: str, tx_hash: str = "", height: int = 0) -> None:
        super().__init__(f"the transaction was rejected: {log or 'no reason given'} ({codespace} {code})")
        self.codespace, self.code, self.log = codespace, code, log
        self.tx_hash, self.height = tx_hash, height


class TxExpired(ClientError):
    """The transaction is in no block up to its timeout height, so it never will be."""


class OutcomeUnknown(NodeUnreachable):
    """The node went away while a transaction was under way: it may or may not land before ``timeout_height``."""

    def __init__(self, tx_hash: str, timeout_height: int, reason: str) -> None:
        super().__init__(
            f"the node went away while transaction {tx_hash} was under way, which may still be included "
            f"up to height {timeout_height} ({reason})"
        )
        self.tx_hash, self.timeout_height = tx_hash, timeout_height


class InvalidInput(ClientError):
    """A value that the caller gave can't be used: a file, an address, an amount, a key, a name."""
