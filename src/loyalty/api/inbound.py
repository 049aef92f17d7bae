"""Where platforms send their messages. They bear no key of ours: each is signed with its channel's secret."""

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from loyalty.api.problems import Problem
from loyalty.api.service import Service
from loyalty.channels.inbound import MAX_MESSAGE_BYTES, Place, UnknownChannel
from loyalty.channels.messages import Malformed, Received
from loyalty.domain.refusals import ChannelNotFound

router = APIRouter(tags=["inbound"])

PATH: Final = "/v1/inbound/{programme}/{channel}/{message}"


@router.post(PATH, include_in_schema=False)
async def receive(request: Request, programme: str, channel: str, message: str) -> Response:
    """Answered in the platform's words, but where nobody is connected, or the database is away. See `channels/`."""
    service: Service = request.app.state.service
    request_id = str(request.scope["loyalty.request_id"])

    async def bring() -> Received:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return Received(message, dict(request.query_params), headers, await _body(request))

    try:
        answered = await service.inbound.answer(Place(programme, channel, message), bring, request_id)
    except UnknownChannel:
        raise ChannelNotFound("Nobody is connected to such a channel.") from None
    except TimeoutError:
        raise Problem("unavailable", "The ledger's database did not answer.") from None
    return Response(answered.body, answered.status, media_type="application/json")


async def _body(request: Request) -> bytes:
    """Raises Malformed for more than a message can be."""
    pieces, size = [], 0
    async for piece in request.stream():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_MESSAGE_BYTES:
            raise Malformed("the body is too large")
    return b"".join(pieces)
