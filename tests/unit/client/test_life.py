"""A task's life tells when things happened, also of assignments that came to nothing."""

from __future__ import annotations

import pytest
from proofmill.task.v1.query_pb2 import QueryTaskResponse, TaskView
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_DECLINED,
    ASSIGNMENT_STATUS_EXPIRED,
    ASSIGNMENT_STATUS_FAILED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    TASK_STATUS_FAILED,
    Assignment,
    AssignmentStatus,
    Progress,
    Task,
)

from client.life import task_life


@pytest.mark.parametrize("status", [ASSIGNMENT_STATUS_FAILED, ASSIGNMENT_STATUS_TIMED_OUT])
@pytest.mark.parametrize("recorded", [0, 9])
def test_a_failure_comes_after_the_acceptance_and_before_the_end(status: AssignmentStatus, recorded: int) -> None:
    life = task_life(ended_task(Assignment(status=status, offered_height=6, accept_by_height=9, ended_height=recorded)))
    assert [(step.name, step.height) for step in life] == [
        ("created", 5),
        ("offered", 6),
        ("accepted", 7),
        ("failed" if status == ASSIGNMENT_STATUS_FAILED else "timed out", 9),
        ("ended", 9),
    ]


@pytest.mark.parametrize(
    ("assignment", "name", "height"),
    [
        (Assignment(status=ASSIGNMENT_STATUS_EXPIRED, offered_height=6, accept_by_height=9), "expired", 10),
        (Assignment(status=ASSIGNMENT_STATUS_DECLINED, offered_height=6, accept_by_height=9), "declined", 6),
        (Assignment(status=ASSIGNMENT_STATUS_DECLINED, offered_height=6, ended_height=8), "declined", 8),
    ],
)
def test_an_offer_that_came_to_nothing_doesnt_wait_for_the_tasks_end(
    assignment: Assignment, name: str, height: int
) -> None:
    heights = {step.name: step.height for step in task_life(ended_task(assignment))}
    assert heights[name] == height


def ended_task(assignment: Assignment) -> QueryTaskResponse:
    progress = Progress(status=TASK_STATUS_FAILED, accepted_height=7, ended_height=9)
    return QueryTaskResponse(task=TaskView(task=Task(created_height=5), progress=progress), assignments=[assignment])
