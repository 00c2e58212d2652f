#!/usr/bin/env bash
# The Messages API's client refuses temperature, top_p and top_k before anything is sent;
# extra_body still sends them.
# Expected: `temperature=0` is an ordinary argument of `messages.create`, as in earlier versions
# and most published examples.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check anthropic==2.14.0

"$folder/venv/bin/python" - <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import anthropic

REPLY = b'{"type": "message", "content": [{"type": "text", "text": "Hello"}]}'
bodies = []


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(REPLY)))
        self.end_headers()
        self.wfile.write(REPLY)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = anthropic.Anthropic(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}")
request = {"model": "any", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}

print("anthropic", anthropic.__version__)
print("temperature, top_p and top_k are a TypeError and nothing is sent; extra_body sends them:")
for name, value in {"temperature": 0, "top_p": 0.5, "top_k": 3}.items():
    for create in (client.messages.create, client.beta.messages.create, client.messages.stream):
        try:
            create(**request, **{name: value})
        except TypeError as error:
            print(f"  {name}={value}: {error}")
        else:
            raise SystemExit(f"changed: {name} is accepted")
if bodies:
    raise SystemExit(f"changed: something was sent: {bodies}")
client.messages.create(**request, extra_body={"temperature": 0})
print("  extra_body={'temperature': 0} sent:", json.dumps(bodies[0]))
if bodies[0].get("temperature") != 0:
    raise SystemExit("changed: extra_body does not send temperature")
PYTHON
