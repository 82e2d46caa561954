"""The routes about jobs: enqueue, list, describe, cancel, retry; each caller sees its own."""

from typing import Annotated

import msgspec
from msgspec import Meta

from grantkeeper.model import JobState
from grantkeeper.server.answers import JobAnswer, JobsAnswer, QueuedAnswer
from grantkeeper.server.bodies import JobBody, JobName, Name
from grantkeeper.server.call import Call
from grantkeeper.server.service import Service
from grantkeeper.server.wire import Answer, json_answer


class JobsQuery(msgspec.Struct, kw_only=True, frozen=True):
    """Which jobs to list; filters that are not sent let all through."""

    grant: Name | None = None
    job: JobName | None = None
    state: JobState | None = None
    batch: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: Name | None = None


async def enqueue(service: Service, call: Call) -> Answer:
    """``POST /v1/jobs``: 202, for the work is done elsewhere and later."""
    body = await call.body(JobBody)
    caller = call.asking()
    grant_id = await service.lookups.find(caller, body)
    queued = await service.core.jobs.enqueue(
        body.job, grant_id, parameters=body.parameters, key=body.key, caller=caller
    )
    return json_answer(QueuedAnswer.of(queued), 202)


async def list_jobs(service: Service, call: Call) -> Answer:
    """``GET /v1/jobs``."""
    query = call.query(JobsQuery)
    found, cursor = await service.core.jobs.list(
        grant=query.grant,
        job=query.job,
        state=query.state,
        batch=query.batch,
        limit=query.limit,
        cursor=query.cursor,
        caller=call.asking(),
    )
    return json_answer(JobsAnswer(jobs=[JobAnswer.of(each) for each in found], next_cursor=cursor))


async def describe(service: Service, call: Call) -> Answer:
    """``GET /v1/jobs/{id}``."""
    found = await service.core.jobs.get(call.path("id"), caller=call.asking())
    return json_answer(JobAnswer.of(found))


async def cancel(service: Service, call: Call) -> Answer:
    """``POST /v1/jobs/{id}/cancel``: a running one stops at its next step."""
    found = await service.core.jobs.cancel(call.path("id"), caller=call.asking())
    return json_answer(JobAnswer.of(found))


async def retry(service: Service, call: Call) -> Answer:
    """``POST /v1/jobs/{id}/retry``: a failed one goes on with the step that failed."""
    found = await service.core.jobs.retry(call.path("id"), caller=call.asking())
    return json_answer(JobAnswer.of(found))
