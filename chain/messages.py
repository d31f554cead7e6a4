"""The registry of messages: a line each. Adding a message starts here."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from cosmos.bank.v1beta1.tx_pb2 import MsgSend
from proofmill.credits.v1.tx_pb2 import MsgGrantCredits
from proofmill.params.v1.tx_pb2 import MsgUpdateParams
from proofmill.program.v1.tx_pb2 import MsgDeployProgram, MsgDeprecateProgram
from proofmill.prover.v1.tx_pb2 import (
    MsgExitProver,
    MsgRegisterProver,
    MsgRequestTest,
    MsgTopUpBond,
    MsgUpdateProver,
)
from proofmill.task.v1.tx_pb2 import (
    MsgAcceptTasks,
    MsgCancelTask,
    MsgCommitProofs,
    MsgDeclineTasks,
    MsgReportFailure,
    MsgRunTask,
    MsgSubmitProofs,
)
from proofmill.verification.v1.tx_pb2 import MsgVotes

from chain import gas
from chain.bank.send import execute_send, validate_send
from chain.credits.handlers import execute_grant_credits, validate_grant_credits
from chain.governance.handlers import execute_update_params, validate_update_params
from chain.program.handlers import (
    execute_deploy_program,
    execute_deprecate_program,
    validate_deploy_program,
    validate_deprecate_program,
)
from chain.prover.handlers import execute_register_prover, validate_register_prover
from chain.prover.lifecycle_handlers import (
    execute_exit_prover,
    execute_request_test,
    execute_top_up_bond,
    execute_update_prover,
    validate_exit_prover,
    validate_request_test,
    validate_top_up_bond,
    validate_update_prover,
)
from chain.task.assignment_handlers import (
    execute_accept_tasks,
    execute_decline_tasks,
    validate_accept_tasks,
    validate_decline_tasks,
)
from chain.task.cancel_handler import execute_cancel_task, validate_cancel_task
from chain.task.proof_handlers import (
    execute_commit_proofs,
    execute_report_failure,
    execute_submit_proofs,
    validate_commit_proofs,
    validate_report_failure,
    validate_submit_proofs,
)
from chain.task.run_handler import execute_run_task, validate_run_task
from chain.verification.handlers import execute_votes, validate_votes

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from chain.context import Context


@dataclass(frozen=True, slots=True)
class MessageSpec:
    """How one type of message is signed, checked, priced and carried out.

    `validate` needs no state and raises TxError; `execute` returns the response, or raises TxError after which all
    its writes are dropped.
    """

    message: type[Message]
    signer_field: str
    validate: Callable[[Any], None]
    execute: Callable[[Context, Any], Message]
    gas: Callable[[Any], int]
    # How many duties of its signer's a message answers.
    duties: Callable[[Any], int] = lambda _message: 0

    @property
    def type_url(self) -> str:
        return f"/{self.message.DESCRIPTOR.full_name}"


def _flat(amount: int) -> Callable[[Any], int]:
    return lambda _message: amount


def _count(*fields: str) -> Callable[[Any], int]:
    return lambda message: sum(len(getattr(message, field)) for field in fields)


def _batch(
    message: type[Message],
    validate: Callable[[Any], None],
    execute: Callable[[Context, Any], Message],
    *fields: str,
) -> MessageSpec:
    """A node key's answers to its duties: gas by the entry."""
    count = _count(*fields)
    return MessageSpec(message, "node", validate, execute, lambda one: gas.PER_ENTRY * (1 + count(one)), count)


_SPECS: Final = (
    MessageSpec(MsgSend, "from_address", validate_send, execute_send, _flat(gas.SEND)),
    MessageSpec(MsgGrantCredits, "authority", validate_grant_credits, execute_grant_credits, _flat(gas.GRANT_CREDITS)),
    MessageSpec(
        MsgDeployProgram, "deployer", validate_deploy_program, execute_deploy_program, _flat(gas.DEPLOY_PROGRAM)
    ),
    MessageSpec(
        MsgDeprecateProgram,
        "deployer",
        validate_deprecate_program,
        execute_deprecate_program,
        _flat(gas.DEPRECATE_PROGRAM),
    ),
    MessageSpec(
        MsgRegisterProver, "operator", validate_register_prover, execute_register_prover, _flat(gas.REGISTER_PROVER)
    ),
    MessageSpec(MsgUpdateProver, "operator", validate_update_prover, execute_update_prover, _flat(gas.UPDATE_PROVER)),
    MessageSpec(MsgTopUpBond, "operator", validate_top_up_bond, execute_top_up_bond, _flat(gas.TOP_UP_BOND)),
    MessageSpec(MsgExitProver, "operator", validate_exit_prover, execute_exit_prover, _flat(gas.EXIT_PROVER)),
    MessageSpec(MsgRequestTest, "node", validate_request_test, execute_request_test, _flat(gas.REQUEST_TEST)),
    MessageSpec(
        MsgRunTask, "user", validate_run_task, execute_run_task, lambda run: gas.RUN_TASK * max(1, run.redundancy)
    ),
    MessageSpec(MsgCancelTask, "user", validate_cancel_task, execute_cancel_task, _flat(gas.CANCEL_TASK)),
    _batch(MsgAcceptTasks, validate_accept_tasks, execute_accept_tasks, "task_ids"),
    _batch(MsgDeclineTasks, validate_decline_tasks, execute_decline_tasks, "entries"),
    _batch(MsgCommitProofs, validate_commit_proofs, execute_commit_proofs, "entries"),
    _batch(MsgSubmitProofs, validate_submit_proofs, execute_submit_proofs, "entries"),
    MessageSpec(
        MsgReportFailure,
        "node",
        validate_report_failure,
        execute_report_failure,
        _flat(gas.REPORT_FAILURE),
        lambda _message: 1,
    ),
    MessageSpec(MsgUpdateParams, "authority", validate_update_params, execute_update_params, _flat(gas.UPDATE_PARAMS)),
    _batch(MsgVotes, validate_votes, execute_votes, "commits", "reveals"),
)

MESSAGES: Final = MappingProxyType({spec.type_url: spec for spec in _SPECS})
MESSAGE_TYPES: Final = MappingProxyType({url: spec.message for url, spec in MESSAGES.items()})
