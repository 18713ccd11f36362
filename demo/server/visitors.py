"""Who a request comes from: an address, behind as many proxies as the owner says there are."""

import ipaddress

from starlette.datastructures import Headers
from starlette.types import Scope

# Whoever has one IPv6 address usually has all of its network.
IPV6_PREFIX = 64


def visitor_of(scope: Scope, trusted_proxies: int) -> str:
    """The visitor's IPv4 address, or the /64 network of an IPv6 one.

    Each proxy adds the address that it was called from at the end of X-Forwarded-For. Only the
    last `trusted_proxies` of them are believed: what stands before them, the sender may have
    written. A request with fewer entries has passed fewer proxies, and counts as its sender's.
    """
    client = scope.get("client")
    address = str(client[0]) if client else ""
    if trusted_proxies:
        header = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
        entries = [entry.strip() for entry in header.split(",") if entry.strip()]
        if len(entries) >= trusted_proxies:
            address = entries[-trusted_proxies]
    return _network(address)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        # Not an address, such as a test client's name. A forged one may be long.
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
