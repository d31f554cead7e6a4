"""The gRPC server: the catalog's methods as raw bytes, and reflection, so that generic clients can explore it."""

from __future__ import annotations

import grpc
import structlog
from grpc_reflection.v1alpha import reflection

from validator_node.grpc_status import QueryError
from validator_node.metrics import NodeMetrics
from validator_node.services.catalog import HEIGHT_HEADER, Catalog, parse_height
from validator_node.services.description import Method
from validator_node.services.listen import ServerError

log = structlog.get_logger(__name__)

_CODES = {code.value[0]: code for code in grpc.StatusCode}


async def start_grpc(catalog: Catalog, metrics: NodeMetrics, address: str) -> grpc.aio.Server:
    """Serve on host:port of the running loop. Raises ServerError."""
    # SO_REUSEPORT would let a second node bind the port silently and take half of the first one's calls.
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    methods = catalog.methods()
    handlers: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
    for method in methods:
        handlers.setdefault(method.service, {})[method.name] = _handler(catalog, metrics, method)
    for service, by_name in handlers.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, by_name),))
    reflection.enable_server_reflection((*handlers, reflection.SERVICE_NAME), server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise ServerError(f"the gRPC server can't listen at {address}: is the port taken?") from error
    await server.start()
    log.info("gRPC server listens", address=address, methods=len(methods))
    return server


def _handler(catalog: Catalog, metrics: NodeMetrics, method: Method) -> grpc.RpcMethodHandler:
    async def handle(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        try:
            answer = await catalog.answer(method, request, parse_height(headers.get(HEIGHT_HEADER)))
        except QueryError as error:
            metrics.queries.labels("grpc", error.status.name).inc()
            await context.abort(_CODES[int(error.status)], error.message)
        metrics.queries.labels("grpc", "OK").inc()
        await context.send_initial_metadata(((HEIGHT_HEADER, str(answer.height)),))
        return answer.value

    return grpc.unary_unary_rpc_method_handler(handle)
