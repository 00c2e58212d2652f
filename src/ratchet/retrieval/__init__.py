"""Documents, passages, indexes and search."""

from ratchet.retrieval.chunk import passages_of, sentences
from ratchet.retrieval.library import Library, add_documents, pinned
from ratchet.retrieval.near import Exact, Graph, Near, Server
from ratchet.retrieval.parse import FORMATS, Document, read_documents
from ratchet.retrieval.rerank import CrossEncoder, fused, newest
from ratchet.retrieval.search import Found, Index, Mode

__all__ = [
    "FORMATS",
    "CrossEncoder",
    "Document",
    "Exact",
    "Found",
    "Graph",
    "Index",
    "Library",
    "Mode",
    "Near",
    "Server",
    "add_documents",
    "fused",
    "newest",
    "passages_of",
    "pinned",
    "read_documents",
    "sentences",
]
