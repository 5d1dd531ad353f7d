"""Instances of a service that can be made slow, busy or broken, for `bench/patterns`.

    python3 backend.py JSON

JSON is a list of instances: `workers` at once take `ms` each, others wait for their turn; of so many requests one, as
`odd` says, takes `odd_ms`. With `next`, an instance asks
that port first and answers as it was answered, or 502. Prints the ports as JSON. A line of JSON on standard input with
`at` changes an instance (`ms`, `workers`, or `mode`: `well`, `errors`, `refuses`, `hangs`); each is answered by a line with
how many requests each instance has had.
"""

import asyncio
import json
import random
import sys


class Instance:
    def __init__(self, spec):
        self.ms, self.workers, self.next, self.mode = spec.get("ms", 5), spec.get("workers", 1000), spec.get("next"), "well"
        self.name = spec.get("name", "")
        self.odd, self.odd_ms = spec.get("odd", 0), spec.get("odd_ms", 0)
        self.free, self.waiting, self.count, self.open = self.workers, [], 0, set()
        self.port = 0

    async def listen(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]

    async def turn(self):
        if self.free > 0:
            self.free -= 1
            return
        mine = asyncio.get_running_loop().create_future()
        self.waiting.append(mine)
        await mine

    def done(self):
        while self.waiting:
            mine = self.waiting.pop(0)
            if not mine.done():
                return mine.set_result(None)
        self.free += 1

    async def ask_next(self):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.next)
            writer.write(b"GET / HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return int(answer.split(b" ")[1])
        except (OSError, IndexError, ValueError):
            return 502

    async def serve(self, reader, writer):
        self.open.add(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.count += 1
                status = 200
                if self.mode == "hangs":
                    await asyncio.sleep(3600)
                elif self.mode == "errors":
                    status = 500
                else:
                    await self.turn()
                    try:
                        odd = self.odd and random.random() < 1 / self.odd
                        await asyncio.sleep((self.odd_ms if odd else self.ms) / 1000)
                    finally:
                        self.done()
                    if self.next:
                        status = await self.ask_next()
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok".encode())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def change(self, to):
        self.ms = to.get("ms", self.ms)
        mode = to.get("mode", self.mode)
        if mode == "refuses" and self.mode != mode:
            self.server.close()
            for writer in list(self.open):
                writer.transport.abort()
        if mode != "refuses" and self.mode == "refuses":
            await self.listen()
        self.mode = mode


async def main():
    instances = [Instance(spec) for spec in json.loads(sys.argv[1])]
    for one in instances:
        await one.listen()
    print(json.dumps([one.port for one in instances]), flush=True)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        to = json.loads(line)
        if "at" in to:
            await instances[to["at"]].change(to)
        print(json.dumps([one.count for one in instances]), flush=True)

asyncio.run(main())
