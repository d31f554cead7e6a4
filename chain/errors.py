"""Numbered errors. A (codespace, code) pair is part of the wire contract: it is never renumbered or reused."""

from __future__ import annotations

from dataclasses import dataclass


class TxError(Exception):
    """A transaction, an entry of one, or a query is refused; it changed nothing.

    `codespace` and `code` identify the rule, the message says in one sentence what was wrong and what to do.
    """

    def __init__(self, codespace: str, code: int, message: str) -> None:
        super().__init__(message)
        self.codespace = codespace
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One registered error; `error(message)` makes the exception to raise."""

    codespace: str
    code: int

    def error(self, message: str) -> TxError:
        return TxError(self.codespace, self.code, message)


# A bug met while working on a transaction: it is refused, the same on every machine.
INTERNAL = ErrorCode("internal", 1)

# Cosmos SDK's own numbers (types/errors, codespace "sdk"), because wallets act on them.
TX_DECODE = ErrorCode("sdk", 2)
UNAUTHORIZED = ErrorCode("sdk", 4)
INSUFFICIENT_FUNDS = ErrorCode("sdk", 5)
UNKNOWN_REQUEST = ErrorCode("sdk", 6)
INVALID_ADDRESS = ErrorCode("sdk", 7)
INVALID_PUB_KEY = ErrorCode("sdk", 8)
UNKNOWN_ADDRESS = ErrorCode("sdk", 9)
INVALID_COINS = ErrorCode("sdk", 10)
OUT_OF_GAS = ErrorCode("sdk", 11)
MEMO_TOO_LARGE = ErrorCode("sdk", 12)
INSUFFICIENT_FEE = ErrorCode("sdk", 13)
NO_SIGNATURES = ErrorCode("sdk", 15)
INVALID_REQUEST = ErrorCode("sdk", 18)
TX_TOO_LARGE = ErrorCode("sdk", 21)
TX_TIMEOUT_HEIGHT = ErrorCode("sdk", 30)
WRONG_SEQUENCE = ErrorCode("sdk", 32)
NOT_FOUND = ErrorCode("sdk", 38)

PROGRAM_EXISTS = ErrorCode("program", 2)
PROGRAM_NOT_FOUND = ErrorCode("program", 3)
PROGRAM_NOT_ACTIVE = ErrorCode("program", 4)
PROGRAM_INVALID = ErrorCode("program", 5)
NOT_DEPLOYER = ErrorCode("program", 6)

PROVER_EXISTS = ErrorCode("prover", 2)
PROVER_NOT_FOUND = ErrorCode("prover", 3)
NODE_KEY_TAKEN = ErrorCode("prover", 4)
BOND_TOO_SMALL = ErrorCode("prover", 5)
PROVER_INVALID = ErrorCode("prover", 6)
WRONG_STATUS = ErrorCode("prover", 7)
TEST_UNDER_WAY = ErrorCode("prover", 8)
TEST_TOO_SOON = ErrorCode("prover", 9)
NO_CAPACITY_PROGRAM = ErrorCode("prover", 10)
CLAIM_IN_USE = ErrorCode("prover", 11)

TASK_NOT_FOUND = ErrorCode("task", 2)
TASK_INVALID = ErrorCode("task", 3)
FEE_ABOVE_MAX = ErrorCode("task", 4)
NOT_ASSIGNED = ErrorCode("task", 5)
OFFER_CLOSED = ErrorCode("task", 6)
DEADLINE_PASSED = ErrorCode("task", 7)
ALREADY_PROVED = ErrorCode("task", 8)
PROOF_INVALID = ErrorCode("task", 9)
RESOURCES_TOO_LARGE = ErrorCode("task", 10)
NOT_SUPPORTED = ErrorCode("task", 11)
NOT_CANCELLABLE = ErrorCode("task", 12)
PROOF_UNCOMMITTED = ErrorCode("task", 13)
PROOF_EARLY = ErrorCode("task", 14)
PROOF_MISMATCH = ErrorCode("task", 15)
PROOF_COMMIT_CHANGED = ErrorCode("task", 16)
SUPERSEDED = ErrorCode("task", 17)

PARAMS_INVALID = ErrorCode("params", 2)
PARAMS_VERSION = ErrorCode("params", 3)

NOT_IN_COMMITTEE = ErrorCode("verification", 2)
COMMIT_CLOSED = ErrorCode("verification", 3)
COMMIT_CHANGED = ErrorCode("verification", 4)
REVEAL_EARLY = ErrorCode("verification", 5)
REVEAL_CLOSED = ErrorCode("verification", 6)
REVEAL_MISMATCH = ErrorCode("verification", 7)
WRONG_ROUND = ErrorCode("verification", 8)
VOTE_INVALID = ErrorCode("verification", 9)
