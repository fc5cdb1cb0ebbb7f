"""What a browser's page says, made by hand; and a page that is a program."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from typing import Any

import numpy as np

from resnet_edge.devices.browser.messages import Facts, Gpu, RawAnswers, Row
from resnet_edge.ondevice.json_records import to_json

CHROMIUM = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "HeadlessChrome/156.0.0.0 Safari/537.36"
)
ANSWERS = np.array([[0.9, 0.1], [0.2, 0.8], [0.75, 0.25], [0.4, 0.6]], np.float32)
"""The reference has pictures 0, 1 and 2 right, of the classes 0, 1, 0 and 0."""


def hand_facts(**changes: object) -> Facts:
    facts = Facts(
        user_agent=CHROMIUM,
        brands=(("Chromium", "156"), ("Not A(Brand", "24")),
        platform="Linux",
        platform_version="",
        architecture="x86",
        model="",
        mobile=False,
        cores=2,
        memory_gb=8,
        isolated=True,
        secure=True,
        shared_memory=True,
        simd=True,
        relaxed_simd=True,
        jspi=True,
        webgpu=False,
        gpu=None,
        wake_lock=True,
        clock_step_s=5e-6,
    )
    return replace(facts, **changes)


SWIFTSHADER = Gpu("google", "swiftshader", "", False, False)
GPU = Gpu("arm", "valhall", "Mali-G715", False, True)


def raw(answers: np.ndarray) -> RawAnswers:
    data = base64.b64encode(np.ascontiguousarray(answers).tobytes()).decode()
    return RawAnswers(answers.dtype.name, *answers.shape, data)


def hand_row(job: str, answers: np.ndarray | None = None, **changes: object) -> Row:
    row = Row(
        page="one",
        job=job,
        runtime_version="2.5.3",
        threads=int(job.rpartition("/")[2]),
        provider="XNNPACK",
        fully_accelerated=None,
        warnings=(),
        answers=None if answers is None else raw(answers),
        load_s=1.0,
        first_s=0.03,
        warmup=10,
        settled=True,
        samples_s=(0.02,) * 64,
        queries_per_sample=1,
        clock_step_s=5e-6,
        seconds=2.0,
        wasm_memory_bytes=52_000_000,
        hidden=False,
    )
    return replace(row, **changes)


@dataclass
class Page:
    """Asks a server as a page does; other headers and hosts can be given."""

    address: str
    headers: dict[str, str] = field(default_factory=dict)
    name: str = "one"

    @property
    def origin(self) -> str:
        return "/".join(self.address.split("/")[:3])

    @property
    def host(self) -> str:
        return self.address.split("/")[2]

    def ask(
        self, method: str, name: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one request; a header that is empty is not sent."""
        path = "/" + "/".join(self.address.split("/")[3:]) + name
        sent = {"Host": self.host, **self.headers, **headers}
        with closing(HTTPConnection(self.host, timeout=10)) as connection:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for key, value in sent.items():
                if value:
                    connection.putheader(key.replace("_", "-"), value)
            connection.endheaders(body)
            response = connection.getresponse()
            found = response.read()
        return response.status, dict(response.getheaders()), found

    def post(self, name: str, message: object, **headers: str) -> tuple[int, Any]:
        """Status and record of a message; a record or JSON's types."""
        body = message if isinstance(message, bytes) else json.dumps(to_json(message)).encode()
        given = {
            "Origin": self.origin,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }
        status, _, answer = self.ask("POST", name, body, **given)
        return status, json.loads(answer)
