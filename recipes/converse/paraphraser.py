"""An OpenAI-compatible endpoint that plays every role from the wire alone, in words of its own: a double that
words wishes as a good model would, calls the search tool when it is offered, and can refuse what some refuse.

    python -m recipes.converse.paraphraser --port 8861 [--refuse max_tokens] [--refuse media]
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Collection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from recipes.common import command, options

NATURAL = {"tune_type": "a {}", "key": "in {}", "mode": "{}", "metre": "in {}", "book": "from {}"}
NATURAL |= {
    "timbre": "on a {} instrument",
    "speed": "{}-paced",
    "cover_palette": "with {} tones on the cover",
}
NATURAL |= {"cover_shape": "with {} on the cover", "popularity": "{}", "genre": "a {} one"}
NOUN = {"tune_type": "type of tune", "cover_palette": "cover colours", "cover_shape": "cover pattern"}
NOUN |= {"timbre": "sound", "speed": "pace", "tempo_bpm": "tempo"}


def noun(field: str) -> str:
    """What a field is called."""
    return NOUN.get(field, field.replace("_", " "))


def worded(wish: dict[str, Any]) -> str:
    """A wish in passing words."""
    field, value = wish["field"], wish["value"]
    refused = "not " if wish["strength"] == "must_not" else ""
    if wish["is"] == "between":
        return f"around {value[0]:g} to {value[1]:g} bpm"
    if wish["is"] in ("ge", "le"):
        return f"{'at least' if wish['is'] == 'ge' else 'no faster than'} {value:g} bpm"
    if wish["is"] == "same_group":
        return f"{refused}in the same {noun(field)} as {value}"
    if wish["is"] == "similar_to":
        near = {"audio": f"that sounds like {value}", "image": f"with a cover like that of {value}"}
        return near.get(field, f"much like {value}")
    words = ", ".join(value) if isinstance(value, list) else str(value).replace("_", " ")
    return refused + NATURAL.get(field, f"with {{}} as its {noun(field)}").format(words)


def message(text: str) -> str:
    """The changes of a listener's prompt as one message."""
    lines = text.split("\n")
    start = next(at for at, line in enumerate(lines) if line.startswith("Ask now"))
    parts = []
    for line in lines[start + 1 :]:
        if match := re.match(r"(add|replace) (\{.*\})$", line):
            wish = json.loads(match[2])
            if wish["value"] == "attached":
                parts.append("Something that goes with this recording or picture.")
            elif match[1] == "replace":
                parts.append(f"Sorry, now something {worded(wish)} instead.")
            else:
                parts.append(f"I'd love something {worded(wish)}.")
        elif match := re.match(r"drop every wish about (\".*\")", line):
            parts.append(f"Don't worry about the {noun(json.loads(match[1]))} any more.")
    return " ".join(parts) or "What else is there like that?"


def recommended(text: str) -> dict[str, Any]:
    """The first candidate that the search found."""
    cards = [json.loads(line) for line in text.split("\n") if line.startswith('{"handle"')]
    fits = re.search(r"of these among the candidates: (.*)", text)
    fitting = [] if fits is None or fits[1] == "none" else fits[1].split(", ")
    if not fitting:
        return {"handle": None, "nothing_fits": True, "message": "Nothing here has all of that. Drop one?"}
    card = next(card for card in cards if card["handle"] == fitting[0])
    reply = f"You might enjoy “{card['title']}”. It has what you asked for, I think."
    return {"thought": "it fits", "handle": fitting[0], "nothing_fits": False, "message": reply}


class Server:
    """Serves until closed. refuse: what it answers with 400. searches: prompt -> clauses of its tool call.

    seen: what came in, counted: calls by role, media parts, tools offered.
    """

    def __init__(self, port: int = 0, refuse: Collection[str] = ()) -> None:
        self.refuse, self.seen = frozenset(refuse), Counter[str]()
        self.exchanges: list[tuple[str, dict[str, Any]]] = []
        self._rng = random.Random(0)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *parts: object) -> None:
                """Nothing is printed."""

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                code, document = outer.answer(body)
                data = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and document for one request."""
        media = sum(not isinstance(each["content"], str) for each in body["messages"])
        if "media" in self.refuse and media:
            return 400, {"error": {"message": "Invalid content type. input_audio is not supported"}}
        for name in self.refuse & set(body):
            return 400, {"error": {"message": f"Unsupported parameter: '{name}' is not supported"}}
        texts = [_text(each) for each in body["messages"]]
        role, prompt = texts[0].split(".")[0], texts[1]
        self.seen.update({role: 1, "media": media, "tools": "tools" in body})
        reply: dict[str, Any] = {"role": "assistant", "content": ""}
        if body.get("tools"):
            function = {"name": "search_items", "arguments": json.dumps({"clauses": self._clauses(prompt)})}
            reply["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
        else:
            reply["content"] = json.dumps(self._reply(role, prompt))
        choice = {"index": 0, "finish_reason": "stop", "message": reply}
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": 20, "total_tokens": 0}
        return 200, {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}

    def _reply(self, role: str, prompt: str) -> dict[str, Any]:
        if role.startswith("You describe"):
            return {"culture": None, "top_creator": None, "top_genre": None}
        if role.startswith("You reword"):
            goal = json.loads((re.search(r"Goal: (\".*\")", prompt) or [""])[1])
            return {"goal": f"{goal} That would make me happy."}
        if role.startswith("You play"):
            self.exchanges.append((prompt, reply := {"thought": "", "message": message(prompt)}))
            return reply
        return recommended(prompt)

    def _clauses(self, prompt: str) -> list[dict[str, Any]]:
        """What the listener's prompt says stands after its changes: a perfect reader of its own words."""
        words = json.loads((re.search(r"Listener now: (\".*\")", prompt) or [""])[1])
        asked = next(text for text, reply in reversed(self.exchanges) if reply["message"] == words)
        lines = asked.split("\n")
        wishes = [json.loads(line) for line in lines if line.startswith('{"strength"')]
        for line in lines:
            if match := re.match(r"(add|replace) (\{.*\})$", line):
                wish = json.loads(match[2])
                if match[1] == "replace":
                    wishes = [old for old in wishes if old["field"] != wish["field"]]
                wishes.append(wish)
            elif match := re.match(r"drop every wish about (\".*\")", line):
                wishes = [old for old in wishes if old["field"] != json.loads(match[1])]
        keys = {"strength": "kind", "field": "field", "is": "cmp", "value": "value"}
        return [{new: wish[old] for old, new in keys.items()} for wish in wishes]


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def main() -> None:
    """Serve until interrupted."""
    parser = options(__doc__)
    parser.add_argument("--port", type=int, default=8861)
    parser.add_argument("--refuse", action="append", default=[])
    given = parser.parse_args()
    with Server(given.port, given.refuse) as server:
        print(server.url)
        threading.Event().wait()


if __name__ == "__main__":
    command(main)
