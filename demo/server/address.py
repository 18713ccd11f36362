"""The address and port to listen on: whether they can be had.

Knows sockets; must not know what will listen there.
"""

import socket

from demo.settings import Settings


class CannotListen(OSError):
    """The address or port cannot be used; the message says which and what to do."""


def require_free_port(settings: Settings) -> None:
    """Finds out before minutes of loading what launching would find out after them.

    Raises:
        CannotListen: the port is taken, or the address is not this machine's.
    """
    try:
        socket.create_server((settings.server_name, settings.server_port)).close()
    except OSError as error:
        raise cannot_listen(settings, error) from error


def cannot_listen(settings: Settings, error: OSError) -> CannotListen:
    """The error to raise when a server could not be started for this reason."""
    return CannotListen(
        f"Cannot listen on {settings.server_name}:{settings.server_port} "
        f"({error.strerror or 'it was taken meanwhile'}). Stop what listens there, or set "
        "GRADIO_SERVER_NAME or GRADIO_SERVER_PORT."
    )
