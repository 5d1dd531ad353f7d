"""An open-loop client of which every request is the first and last on a connection of its own.

    python3 strangers.py HOST PORT NAME EVERY_MS FIRST_MS MARK [--tls]

Connections are opened at their times, FIRST_MS and then each EVERY_MS, whatever became of earlier ones. Ends on SIGTERM,
once all that was sent is answered, and prints each request as JSON: when it was due, begun and over by the machine's
monotonic clock, and `own`, `foreign`, `refused` or `broken`.
"""

import asyncio
import json
import signal
import ssl
import sys
import time

PATIENCE = 15
requests, told = [], []


async def exchange(host, port, name, mark, context):
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name if context else None)
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    return "own" if answer.startswith(b"HTTP/1.1 200 ") and mark in answer else "foreign", answer


async def ask(due, *arguments):
    begun = time.monotonic()
    try:
        outcome, answer = await asyncio.wait_for(exchange(*arguments), PATIENCE)
        if outcome == "foreign":
            told.append(repr(answer[:120]))
    except ConnectionRefusedError:
        outcome = "refused"
    except (OSError, EOFError, asyncio.TimeoutError) as error:
        outcome = "broken"
        told.append(f"{type(error).__name__} {error}")
    requests.append((due, begun, time.monotonic(), outcome))


async def main():
    host, port, name, every, first, mark = sys.argv[1:7]
    context = None
    if sys.argv[7:] == ["--tls"]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    under_way, due = set(), time.monotonic() + float(first) / 1000
    while not over.is_set():
        wait = due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(ask(due, host, int(port), name, mark.encode(), context))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        due += float(every) / 1000
    await asyncio.gather(*under_way)
    json.dump({"requests": requests, "told": told[:10]}, sys.stdout)


asyncio.run(main())
