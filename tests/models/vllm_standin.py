"""What vLLM 0.33 answers on the paths that Ratchet asks: a stand-in for machines without a GPU.

As `vllm serve FOLDER --host H --port P …`, or in-process. What a model says tells which model it is.
"""

import argparse
import asyncio
import json
import os
from pathlib import Path

from aiohttp import web


def problem(status, kind, message, param=None):
    """Return an error in vLLM's shape."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": status}}
    return web.json_response(body, status=status)


class Server:
    """One base model and its adapters."""

    def __init__(self, folder, *, allows=True, lora=True):
        self.folder, self.lora = str(folder), lora
        self.loras = {}
        self.loads = []
        self.app = web.Application()
        self.app.router.add_get("/health", self.health)
        self.app.router.add_get("/v1/models", self.models)
        self.app.router.add_post("/v1/chat/completions", self.chat)
        if allows:  # VLLM_ALLOW_RUNTIME_LORA_UPDATING
            self.app.router.add_post("/v1/load_lora_adapter", self.load)
        else:
            self.app.router.add_post("/v1/load_lora_adapter", self.no_route)

    async def no_route(self, _request):
        return web.json_response({"detail": "Not Found"}, status=404)

    async def health(self, _request):
        return web.Response()

    async def models(self, _request):
        cards = [{"id": self.folder, "object": "model", "root": self.folder, "parent": None}]
        cards += [
            {"id": name, "object": "model", "root": path, "parent": self.folder}
            for name, path in self.loras.items()
        ]
        return web.json_response({"object": "list", "data": cards})

    async def load(self, request):
        body = await request.json()
        name, path = body.get("lora_name"), body.get("lora_path")
        self.loads.append(name)
        if not name or not path:
            return problem(
                400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided."
            )
        if name in self.loras and not body.get("load_inplace"):
            return problem(
                400,
                "InvalidUserInput",
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.",
            )
        if not self.lora:
            return problem(
                500, "InternalServerError", "Call to add_lora method failed: LoRA is not enabled."
            )
        if not (Path(path) / "adapter_config.json").is_file():
            return problem(
                404, "NotFoundError", f"Loading lora {name} failed: No adapter found for {path}"
            )
        if json.loads((Path(path) / "adapter_config.json").read_text()).get("r", 8) > 64:
            return problem(
                500, "InternalServerError", "LoRA rank 128 is greater than max_lora_rank 64."
            )
        self.loras[name] = path
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def chat(self, request):
        body = await request.json()
        model = body["model"]
        if model != self.folder and model not in self.loras:
            return problem(
                404, "NotFoundError", f"The model `{model}` does not exist.", param="model"
            )
        who = "base" if model == self.folder else model
        text = f"{who}: {body['messages'][-1]['content']}"
        usage = {"prompt_tokens": 7, "completion_tokens": len(text.split()), "total_tokens": 0}
        head = {"id": "chatcmpl-1", "created": 1, "model": model}
        if body.get("stream"):
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            deltas = [{"role": "assistant", "content": ""}, *({"content": w} for w in text)]
            for delta in deltas:
                piece = {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
                await response.write(f"data: {json.dumps(piece)}\n\n".encode())
            last = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            used = {**head, "choices": [], "usage": usage}
            for piece in (json.dumps(last), json.dumps(used), "[DONE]"):
                await response.write(f"data: {piece}\n\n".encode())
            return response
        message = {"role": "assistant", "content": text, "tool_calls": []}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return web.json_response({**head, "choices": [choice], "usage": usage})


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["serve"])
    parser.add_argument("folder")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--max-lora-rank", type=int)
    parser.add_argument("--max-model-len", type=int)
    given = parser.parse_args()
    allows = os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING") == "True"
    if given.max_model_len == 1:
        raise SystemExit("ValueError: max_model_len is too small")
    server = Server(given.folder, allows=allows, lora=given.enable_lora)
    runner = web.AppRunner(server.app)
    await runner.setup()
    await asyncio.sleep(0.5)  # weights are read
    await web.TCPSite(runner, given.host, given.port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
