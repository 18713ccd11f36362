"""What a caller is told of itself."""

import httpx

from tests.processes import AppProcess


def visitor(app: AppProcess, *forwarded: str) -> httpx.Response:
    headers = [("X-Forwarded-For", value) for value in forwarded]
    return httpx.get(f"{app.url}/visitor", headers=headers)


def test_a_caller_is_told_its_own_address_and_nothing_is_kept(scripted_app: AppProcess) -> None:
    answer = visitor(scripted_app)
    assert answer.json() == {
        "peer": "127.0.0.1", "peer_is_forwarded": False, "forwarded_for": None,
    }  # fmt: skip
    assert answer.headers["cache-control"] == "no-store"


def test_the_header_is_told_as_it_came(scripted_app: AppProcess) -> None:
    """This connection comes from this machine, where Uvicorn takes the header's word."""
    told = visitor(scripted_app, "203.0.113.9, 10.0.0.1", "10.0.0.2").json()
    assert told["forwarded_for"] == "203.0.113.9, 10.0.0.1, 10.0.0.2"
    assert (told["peer"], told["peer_is_forwarded"]) == ("10.0.0.2", True)
    assert visitor(scripted_app).json()["forwarded_for"] is None


def test_nothing_can_be_sent_there(scripted_app: AppProcess) -> None:
    assert httpx.post(f"{scripted_app.url}/visitor", json={}).status_code in (404, 405)
