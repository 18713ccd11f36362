"""A visitor who asks for the same without a pause, until its standard input is closed.

`python -m benchmarks.greedy URL METHOD PATH BODY ADDRESS` prints a line once it was answered, and
in the end how often it got which status. It imports little, to begin soon.
"""

import asyncio
import sys
from collections import Counter

import httpx

CONNECTIONS = 64


async def ask(url: str, method: str, path: str, body: str, address: str) -> Counter[str]:
    """Asks on all connections, and reads the texts that it gets."""
    seen: Counter[str] = Counter()
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "x-forwarded-for": address,
    }
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(timeout=300, limits=limits, headers=headers) as client:

        async def loop() -> None:
            while True:
                try:
                    answer = await client.request(method, url + path, content=body or None)
                    if not seen:
                        print("begun", flush=True)
                    seen[str(answer.status_code)] += 1
                    if "/call/" in path and answer.status_code == 200:
                        await client.get(f"{url}{path}/{answer.json()['event_id']}")
                except httpx.HTTPError as error:
                    seen[type(error).__name__] += 1

        loops = [asyncio.create_task(loop()) for _ in range(CONNECTIONS)]
        await asyncio.to_thread(sys.stdin.read)
        for one in loops:
            one.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    return seen


if __name__ == "__main__":
    counts = asyncio.run(ask(*sys.argv[1:6]))
    print(", ".join(f"{number} × {status}" for status, number in counts.most_common()))
