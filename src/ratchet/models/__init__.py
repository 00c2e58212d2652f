"""Talk to models: endpoints over HTTP, and local weights. The local engine is loaded only where it is used."""

from ratchet.models.chat import (
    CallPart,
    ChatModel,
    ChatReply,
    ChatRequest,
    LikelihoodModel,
    ToolCall,
    reply_in,
)
from ratchet.models.embed import Embedder
from ratchet.models.endpoint import EndpointModel
from ratchet.models.family import family_of
from ratchet.models.pool import NANO, ModelPool, local_folder, workspace_pool
from ratchet.models.prices import Price

__all__ = [
    "NANO",
    "CallPart",
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "Embedder",
    "EndpointModel",
    "LikelihoodModel",
    "ModelPool",
    "Price",
    "ToolCall",
    "family_of",
    "local_folder",
    "reply_in",
    "workspace_pool",
]
