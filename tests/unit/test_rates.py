"""How often is too often, for one visitor and for all."""

import json
from typing import Any

import pytest

from demo.server import rates as module
from demo.server.rates import Kind, MovingWindow, RateLimits, Rates, kind_of, parse_rate
from tests.unit.test_limits import answer, echo


def rates(rate: str, all_visitors: int = 10) -> Rates:
    items = parse_rate(rate)
    return Rates({"texts": items, "calls": items, "rounds": items, "parts": items}, all_visitors)


def refusals(limiter: Rates, *visitors: str, cost: int = 1) -> list[bool]:
    return [limiter.refusal("calls", one, cost) is not None for one in visitors]


def test_a_visitor_is_refused_beyond_the_rate_and_no_other() -> None:
    assert refusals(rates("2/minute"), "a", "a", "a", "b") == [False, False, True, False]


def test_several_rates_hold_at_once() -> None:
    assert refusals(rates("3/second; 2/hour"), "a", "a", "a") == [False, False, True]


def test_all_together_are_bounded_and_the_refused_use_up_nothing() -> None:
    limiter = rates("2/minute", all_visitors=2)
    assert refusals(limiter, *"aaaaa") == [False, False, True, True, True]
    assert refusals(limiter, *"bbcd") == [False, False, True, True]


def test_a_call_costs_as_many_as_it_asks_for_but_never_more_than_there_are() -> None:
    assert refusals(rates("5/minute"), "a", "a", cost=4) == [False, True]
    assert refusals(rates("2/minute"), "a", cost=4) == [False]


def test_a_window_moves_and_says_when_it_has_room_again() -> None:
    now = [0.0]
    limiter = Rates({"calls": parse_rate("2/minute; 3/hour")}, 10, lambda: now[0])

    def wait() -> int:
        refusal = limiter.refusal("calls", "a")
        return refusal.retry_seconds if refusal else 0

    assert wait() == 0
    now[0] = 20
    assert [wait(), wait()] == [0, 40]
    now[0] = 60
    assert [wait(), wait()] == [0, 3_540]


def test_who_has_not_come_for_as_long_as_a_window_lasts_is_forgotten() -> None:
    window = MovingWindow(most=2, seconds=60)
    for now in range(300):
        for key in (f"visitor {now}", "one who stays"):
            if not window.wait(key, 1, now):
                window.use(key, 1, now)
    assert len(window) == 61


def test_a_refusal_says_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFUSAL_SECONDS", 0)
    app = RateLimits(echo, rates("1/minute"), 0)
    scope: dict[str, Any] = {"method": "GET", "client": ("1.2.3.4", 1)}
    assert answer(app, [b""], **scope)[0] == 200
    status, body = answer(app, [b""], **scope)
    assert status == 429
    assert "Try again in" in json.loads(body)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/gradio_api/call/generate", "calls"),
        ("POST", "/gradio_api/call/v2/detect/", "calls"),
        ("POST", "/gradio_api/queue/join", "calls"),
        ("POST", "/gradio_api/mcp/", "calls"),
        ("POST", "/count", "calls"),
        ("POST", "/guess/answer", "calls"),
        ("POST", "/guess/next", "rounds"),
        ("POST", "/guess/daily", "rounds"),
        ("POST", "/guess/twin", "rounds"),
        ("GET", "/", "calls"),
        ("GET", "/assets/index.js", "parts"),
        ("POST", "/assets/index.js", "calls"),
        ("GET", "/gradio_api/call/generate/0", "calls"),
    ],
)
def test_each_route_is_of_a_kind(method: str, path: str, kind: Kind) -> None:
    assert kind_of(method, path) == kind


@pytest.mark.parametrize("value", ["", "many", "5", "5/fortnight", "-1/minute", "0x5/minute"])
def test_what_is_no_rate_is_named(value: str) -> None:
    with pytest.raises(ValueError, match="it must be a rate such as 120/minute"):
        parse_rate(value)
