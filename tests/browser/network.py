"""A line between a browser and a server that can be cut, stalled and led elsewhere."""

import contextlib
import socket
import struct
import threading

# Closing resets the connection, as a network does that is gone.
_RESET = struct.pack("ii", 1, 0)


class Line:
    """Listens on a port of its own and passes bytes on to `target`, another one of this machine."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._passes = threading.Event()
        self._passes.set()
        self._is_cut = False
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Resets every connection, and each new one."""
        self._is_cut = True
        for one in list(self._open):
            self._close(one)

    def stall(self) -> None:
        """Every byte is kept until the line is mended."""
        self._passes.clear()

    def mend(self) -> None:
        """Passes everything again."""
        self._is_cut = False
        self._passes.set()

    def close(self) -> None:
        """Passes nothing any more."""
        self.cut()
        self._passes.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        self._open.add(near)
        self._passes.wait()
        if self._is_cut:
            self._close(near)
            return
        try:
            far = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            self._close(near)
            return
        self._open.add(far)
        threading.Thread(target=self._pass_on, args=(far, near), daemon=True).start()
        self._pass_on(near, far)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                self._passes.wait()
                sink.sendall(content)
        self._close(sink)
        self._close(source)

    def _close(self, one: socket.socket) -> None:
        self._open.discard(one)
        with contextlib.suppress(OSError):
            if self._is_cut:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            # Wakes the thread that reads from it; closing alone does not.
            one.shutdown(socket.SHUT_RDWR)
        one.close()
