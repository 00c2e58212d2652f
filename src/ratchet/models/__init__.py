"""Talk to models: endpoints over HTTP, and local weights. The local engine is loaded only where it is used."""

from ratchet.models.addable import (
    AddableModel,
    add_model,
    addable_models,
    added_folder,
    find_addable,
    remove_model,
)
from ratchet.models.capabilities import Capabilities
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
from ratchet.models.open_models import ModelSession
from ratchet.models.pool import (
    NANO,
    ModelPool,
    endpoint_capabilities,
    local_folder,
    start_temperature,
    workspace_pool,
)
from ratchet.models.prices import Price
from ratchet.models.shaping import ShapedRequest

__all__ = [
    "NANO",
    "AddableModel",
    "CallPart",
    "Capabilities",
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "Embedder",
    "EndpointModel",
    "LikelihoodModel",
    "ModelPool",
    "ModelSession",
    "Price",
    "ShapedRequest",
    "ToolCall",
    "add_model",
    "addable_models",
    "added_folder",
    "endpoint_capabilities",
    "family_of",
    "find_addable",
    "local_folder",
    "remove_model",
    "reply_in",
    "start_temperature",
    "workspace_pool",
]
