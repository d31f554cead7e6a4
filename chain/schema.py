"""Every collection of the state on one screen. A prefix, once released, is never given another meaning.

Addresses and program ids in keys are raw bytes; values are the messages of proto/proofmill/*/v1/state.proto.
"""

from __future__ import annotations

from typing import Final

from proofmill.credits.v1 import state_pb2 as credits_pb
from proofmill.params.v1 import state_pb2 as params_pb
from proofmill.program.v1 import state_pb2 as program_pb
from proofmill.prover.v1 import state_pb2 as prover_pb
from proofmill.task.v1 import state_pb2 as task_pb
from proofmill.verification.v1 import state_pb2 as verification_pb

from chain.address import decode_address
from chain.state.collections import (
    BytesValue,
    Collection,
    Index,
    IndexedMap,
    Item,
    KeySet,
    KeyValue,
    Map,
    Proto,
    Sequence,
    StringValue,
    U64Value,
    check_unique_prefixes,
)
from chain.state.keys import ADDRESS, HASH, STRING, U32, U64, Pair, Quad, Triple

# The chain itself.
PARAMS: Final = Item(b"\x01", "params", Proto(params_pb.Params))
AUTHORITY: Final = Item(b"\x02", "authority", StringValue)
LAST_BLOCK_HASH: Final = Item(b"\x03", "last_block_hash", BytesValue)
# Unix milliseconds, for what is asked between blocks.
LAST_BLOCK_TIME: Final = Item(b"\x05", "last_block_time", U64Value)
# Every version there ever was: a task keeps to the one it was escrowed under. PARAMS is the last.
PARAMS_VERSIONS: Final = Map(b"\x06", "params_versions", U32, Proto(params_pb.Params))
VALIDATOR_OPERATORS: Final = Map(b"\x04", "validator_operators", ADDRESS, BytesValue)

# Money.
ACCOUNTS: Final = Map(b"\x10", "accounts", ADDRESS, Proto(credits_pb.Account))
ACCOUNT_NUMBERS: Final = Sequence(b"\x11", "account_numbers", start=0)
POOLS: Final = Item(b"\x12", "pools", Proto(credits_pb.Pools))

# Programs.
PROGRAMS_BY_NAME: Final[Index[str, bytes, program_pb.Program]] = Index(
    b"\x21", "programs_by_name", STRING, lambda _id, program: (program.spec.name,)
)
PROGRAMS: Final = IndexedMap(b"\x20", "programs", HASH, Proto(program_pb.Program), (PROGRAMS_BY_NAME,))

# (program, class of CPU, GPUs)
PROGRAM_STATS: Final = Map(b"\x22", "program_stats", Triple(HASH, U32, U32), Proto(program_pb.ProgramStats))

# Provers. ACTIVE_PROVERS is dense: positions 0 … ACTIVE_COUNT − 1.
PROVERS: Final = Map(b"\x30", "provers", ADDRESS, Proto(prover_pb.Prover))
PROVERS_BY_NODE: Final = Map(b"\x31", "provers_by_node", ADDRESS, BytesValue)
ACTIVE_PROVERS: Final = Map(b"\x32", "active_provers", U64, BytesValue)
ACTIVE_COUNT: Final = Item(b"\x33", "active_count", U64Value)
# (operator, kind, task, verification round or 0): what each prover owes now.
DUTIES: Final = KeySet(b"\x34", "duties", Quad(ADDRESS, U32, U64, U32))

# (block time in ms, kind, operator): what happens to a prover when time passes.
PROVER_DEADLINES: Final = KeySet(b"\x35", "prover_deadlines", Triple(U64, U32, ADDRESS))
# Those whose capacity test begins with the next block.
TESTS_READY: Final = KeySet(b"\x36", "tests_ready", ADDRESS)

# Tasks.
TASK_IDS: Final = Sequence(b"\x40", "task_ids")
TASKS_BY_USER: Final[Index[bytes, int, task_pb.Task]] = Index(
    b"\x49", "tasks_by_user", ADDRESS, lambda _id, task: (decode_address(task.user),) if task.user else ()
)
TASKS: Final = IndexedMap(b"\x41", "tasks", U64, Proto(task_pb.Task), (TASKS_BY_USER,))
PROGRESS: Final = Map(b"\x42", "progress", U64, Proto(task_pb.Progress))
ASSIGNMENTS: Final = Map(b"\x43", "assignments", Pair(U64, ADDRESS), Proto(task_pb.Assignment))
# (workflow, aggregation round, program, task): protocol §6.2's order of service.
_SERVICE_ORDER: Final = Quad(U64, U32, HASH, U64)
PENDING: Final = KeySet(b"\x44", "pending", _SERVICE_ORDER)
# Where the next block goes on looking, if the last one couldn't look at all that wait.
PENDING_NEXT: Final = Item(b"\x4a", "pending_next", KeyValue(_SERVICE_ORDER))
# (height, task, operator): offers that expire when a block of that height begins.
OFFER_DEADLINES: Final = KeySet(b"\x45", "offer_deadlines", Triple(U64, U64, ADDRESS))
# (block time in ms, kind, task, operator or none): due in the first block after one of that time or a later one.
DEADLINES: Final = KeySet(b"\x46", "deadlines", Quad(U64, U32, U64, ADDRESS))
# (task, prover): proofs whose committee is drawn in the next block.
PROVED: Final = KeySet(b"\x47", "proved", Pair(U64, ADDRESS))
# The verdict became final in the last block: settled in this one.
DECIDED: Final = KeySet(b"\x48", "decided", U64)

# Verification.
ROUNDS: Final = Map(b"\x50", "rounds", Pair(U64, U32), Proto(verification_pb.Round))
VOTES: Final = Map(b"\x51", "votes", Triple(U64, U32, ADDRESS), Proto(verification_pb.Vote))

COLLECTIONS: Final[tuple[Collection, ...]] = (
    PARAMS,
    PARAMS_VERSIONS,
    AUTHORITY,
    LAST_BLOCK_HASH,
    LAST_BLOCK_TIME,
    VALIDATOR_OPERATORS,
    ACCOUNTS,
    ACCOUNT_NUMBERS,
    POOLS,
    PROGRAMS,
    PROGRAM_STATS,
    PROVERS,
    PROVERS_BY_NODE,
    ACTIVE_PROVERS,
    ACTIVE_COUNT,
    DUTIES,
    PROVER_DEADLINES,
    TESTS_READY,
    TASK_IDS,
    TASKS,
    PROGRESS,
    ASSIGNMENTS,
    PENDING,
    PENDING_NEXT,
    OFFER_DEADLINES,
    DEADLINES,
    PROVED,
    DECIDED,
    ROUNDS,
    VOTES,
)
check_unique_prefixes(COLLECTIONS)
