"""Several texts at once, as one stream of what happens to each.

Knows engines and threads; must not know what the texts are for.
"""

import contextvars
import queue
import threading
from collections.abc import Generator, Sequence
from contextlib import closing

from demo.generation.engine import Chunk, Engine
from demo.generation.request import GenerationRequest

# What happened to which text: a piece of it, or why there will be no more.
Event = tuple[int, Chunk | Exception]


def stream_together(
    engine: Engine, requests: Sequence[GenerationRequest]
) -> Generator[Event, None, None]:
    """The chunks of every request as they come, each with the request's index; a text that fails
    ends with its exception, and the others go on. Closing the iterator cancels all of them."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    left = threading.Event()

    def read(index: int, request: GenerationRequest) -> None:
        try:
            with closing(engine.stream(request)) as stream:
                for chunk in stream:
                    # Only its own thread may close a generator. A stream that waits looks up
                    # every HEARTBEAT_SECONDS, so it is not long until this is asked.
                    if left.is_set():
                        return
                    events.put((index, chunk))
        except Exception as error:
            events.put((index, error))

    for index, request in enumerate(requests):
        # On ZeroGPU the context holds whose quota is spent.
        target = contextvars.copy_context().run
        threading.Thread(
            target=target, args=(read, index, request), name=f"text {index}", daemon=True
        ).start()
    try:
        unfinished = len(requests)
        while unfinished:
            index, happened = events.get()
            yield index, happened
            unfinished -= isinstance(happened, Exception) or happened.ending is not None
    finally:
        left.set()
