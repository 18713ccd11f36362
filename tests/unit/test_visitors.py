"""Who a request counts as, behind no proxy, behind some, and with a forged header."""

import pytest

from demo.server.rates import visitor_of


def visitor(client: str, proxies: int, *forwarded: str) -> str:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return visitor_of({"type": "http", "client": (client, 1), "headers": headers}, proxies)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, (), "10.0.0.1"),
        (0, ("1.1.1.1",), "10.0.0.1"),
        (1, ("1.1.1.1",), "1.1.1.1"),
        (1, ("6.6.6.6, 1.1.1.1",), "1.1.1.1"),
        (1, ("6.6.6.6", "1.1.1.1"), "1.1.1.1"),
        (2, ("6.6.6.6, 1.1.1.1, 10.0.0.9",), "1.1.1.1"),
        # It came past the proxies: what it says of itself counts for nothing.
        (2, ("6.6.6.6",), "10.0.0.1"),
        (1, (), "10.0.0.1"),
        (1, (" , ",), "10.0.0.1"),
    ],
)
def test_only_what_a_trusted_proxy_added_is_believed(
    proxies: int, forwarded: tuple[str, ...], expected: str
) -> None:
    assert visitor("10.0.0.1", proxies, *forwarded) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:1.2.3.4", "1.2.3.4", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("1.2.3.4", "1.2.3.5", False),
    ],
)
def test_an_ipv6_network_is_one_visitor(one: str, other: str, same: bool) -> None:
    assert (visitor(one, 0) == visitor(other, 0)) is same


def test_what_is_no_address_is_kept_short() -> None:
    assert visitor("10.0.0.1", 1, "x" * 8_000) == "x" * 64
    assert visitor_of({"type": "http", "client": None, "headers": []}, 0) == ""
