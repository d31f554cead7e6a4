"""The REST server: the catalog's methods at the HTTP paths that their .proto files state, as JSON."""

from __future__ import annotations

import json
import re

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from google.protobuf import json_format
from google.protobuf.message import Message

from validator_node.grpc_status import HTTP_STATUS, QueryError, Status
from validator_node.metrics import NodeMetrics
from validator_node.services.catalog import HEIGHT_HEADER, Catalog, parse_height
from validator_node.services.description import HttpRule, Method
from validator_node.services.listen import listen
from validator_node.services.rest_request import build_request

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 4 << 20  # a transaction in base64, and room
_TEMPLATE_FIELD = re.compile(r"\{([a-z0-9_.]+)(=\*\*)?\}")


async def start_rest(catalog: Catalog, metrics: NodeMetrics, address: str) -> web.AppRunner:
    """Serve on host:port of the running loop; the runner's cleanup() stops it. Raises ServerError."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_browser_access, _errors_as_json])
    count = 0
    for method in catalog.methods():
        for rule in method.rules:
            app.router.add_route(rule.verb, _route_of(rule), _handler(catalog, metrics, method, rule))
            count += 1
    runner = await listen(app, address, "REST")
    log.info("REST server listens", address=address, routes=count)
    return runner


def _route_of(rule: HttpRule) -> str:
    """A path template in aiohttp's words; a field's dots become "__", which no field name contains."""

    def placeholder(found: re.Match[str]) -> str:
        name = found[1].replace(".", "__")
        return f"{{{name}:.+}}" if found[2] else f"{{{name}}}"

    return _TEMPLATE_FIELD.sub(placeholder, rule.template)


def _handler(catalog: Catalog, metrics: NodeMetrics, method: Method, rule: HttpRule) -> Handler:
    async def handle(http: web.Request) -> web.StreamResponse:
        parameters = [(name.replace("__", "."), text) for name, text in http.match_info.items()]
        parameters += http.query.items()
        asked = http.headers.get(HEIGHT_HEADER)
        body = await http.read() if rule.body else None
        try:
            request = build_request(method.request, parameters, body)
            answer = await catalog.answer(method, request.SerializeToString(), parse_height(asked))
        except QueryError as error:
            metrics.queries.labels("rest", error.status.name).inc()
            raise
        metrics.queries.labels("rest", "OK").inc()
        response = method.response.FromString(answer.value)
        return web.Response(
            text=to_json(response),
            content_type="application/json",
            headers={f"Grpc-Metadata-{HEIGHT_HEADER}": str(answer.height)},
        )

    return handle


def to_json(message: Message) -> str:
    """JSON as Cosmos clients read it: names as in the .proto file, 64-bit integers as text, defaults written out."""
    try:
        return json_format.MessageToJson(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
        )
    except TypeError as error:
        # An Any in it, from a stranger's transaction, holds a type that this chain doesn't know.
        raise QueryError(Status.INTERNAL, f"the answer can't be written as JSON: {error}") from None


def error_response(status: Status, message: str, http_status: int | None = None) -> web.Response:
    """An error in the form that all Cosmos REST servers give it."""
    body = {"code": int(status), "message": message, "details": []}
    return web.Response(
        text=json.dumps(body), status=http_status or HTTP_STATUS[status], content_type="application/json"
    )


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except QueryError as error:
        return error_response(error.status, error.message)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        status = Status.UNIMPLEMENTED if error.status in {404, 405} else Status.INVALID_ARGUMENT
        return error_response(status, f"{request.method} {request.path}: {error.reason}", error.status)
    except Exception:  # whatever it is, the client gets an error in the form that it can read
        log.exception("a request failed", path=request.path)
        return error_response(Status.INTERNAL, "internal error: the node's log says more")


@web.middleware
async def _browser_access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let web wallets ask from any origin: there is nothing here that a cookie or an address would protect."""
    if request.method == "OPTIONS":
        response: web.StreamResponse = web.Response(status=204)
    else:
        response = await handler(request)
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Allow-Headers"] = f"Content-Type, {HEIGHT_HEADER}"
    response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
    return response
