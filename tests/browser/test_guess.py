"""The guessing game, played in a real browser over made-up tweets."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Response, ViewportSize, expect

from demo.game.game import NO_TWEETS
from tests.browser.actions import finished
from tests.browser.conftest import cut_off, leave, open_page, pictured
from tests.browser.steady import assert_steady, take_shifts
from tests.guessing import write_tweets
from tests.processes import HTTP, AppProcess, running_app

PHONE: ViewportSize = {"width": 390, "height": 900}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """The scripted app with made-up tweets to play with, and an author of new ones."""
    folder = tmp_path_factory.mktemp("guess")
    write_tweets(folder / "data")
    settings = {"TWEETS": str(folder / "data"), "STORIES": "1"}
    with running_app(["-m", "tests.scripted_app"], folder, settings) as app:
        yield app


@pytest.fixture
def game(visitor: Page, app: AppProcess) -> Page:
    """The game before its first tweet, in a browser that never played."""
    visitor.goto(f"{app.url}/robots.txt")
    return open_game(leave(visitor), app)


def open_game(page: Page, app: AppProcess) -> Page:
    """The Guess tab, loaded anew."""
    page.goto(f"{app.url}/robots.txt")
    return open_page(page, f"{app.url}/#guess", ".cd-game")


def is_asked(page: Page) -> None:
    expect(page.locator(".cd-game")).to_have_attribute("data-state", "asking", timeout=20_000)


def start(page: Page, name: str = "Random round") -> None:
    page.get_by_role("button", name=name).click()
    is_asked(page)


def play(page: Page, answers: int) -> None:
    """Answers so many tweets, one way and the other, and goes on after each."""
    for i in range(answers):
        is_asked(page)
        page.keyboard.press("ArrowLeft" if i % 2 else "ArrowRight")
        told(page)
        page.keyboard.press("Enter")


def told(page: Page) -> None:
    expect(page.locator(".cd-game")).to_have_attribute("data-state", "told")


def answered(page: Page, tweets: int) -> None:
    row = page.get_by_role("row", name="You")
    expect(row.get_by_role("cell").last).to_have_text(str(tweets))


def dealt(page: Page, go_on: Callable[[], None]) -> dict[str, Any]:
    """Goes on to the next tweet, and gives what the server sent for it."""

    def is_a_round(response: Response) -> bool:
        return "/guess/next" in response.url and '"ready"' in response.text()

    with page.expect_response(is_a_round, timeout=20_000) as received:
        go_on()
        is_asked(page)
    body: dict[str, Any] = received.value.json()
    return body


def test_a_tweet_is_asked_answered_once_and_revealed(game: Page) -> None:
    body = dealt(game, lambda: start(game))
    # The browser holds no answer before it is given.
    assert set(body) == {"state", "visit", "ticket", "text", "everyone", "reason"}
    page = game.content()
    for word in ("x.com/i/status", '"truth"'):
        assert word not in page
    # On the Write tab a specimen says where it comes from.
    assert "scripted@0123456789ab" not in game.locator("#cd-guess").inner_html()
    assert "truth" not in json.dumps(body)
    expect(game.locator(".cd-place")).to_have_text("1 of 10")
    expect(game.locator(".cd-caption")).to_be_visible()
    expect(game.locator(".cd-item")).to_be_focused()
    # Two quick answers are one.
    game.evaluate("""() => document.querySelectorAll(".cd-answer").forEach((b) => b.click())""")
    told(game)
    answered(game, 1)
    expect(game.locator(".cd-next")).to_be_focused()
    seen = {expect_revealed(game, "Trump")}
    # Until a real tweet and a generated text were revealed, or the round is over.
    for number in range(2, 11):
        game.keyboard.press("Enter")
        is_asked(game)
        expect(game.locator(".cd-item")).to_be_focused()
        game.get_by_role("button", name="Computer Dump").click()
        told(game)
        answered(game, number)
        seen.add(expect_revealed(game, "Computer Dump"))
        if len(seen) == 2:
            break


def expect_revealed(page: Page, said: str) -> str:
    """What the tweet was, which the page says."""
    truth = page.locator(".cd-game").get_attribute("data-truth") or ""
    origin = page.locator(".cd-truth").inner_text()
    outcome: str | re.Pattern[str] = "Correct!"
    is_right = (truth == "computer") == (said == "Computer Dump")
    if truth == "computer":
        outcome = outcome if is_right else re.compile("^Fooled")
        assert origin.startswith("Computer.")
        assert "AI-generated parody (not a real tweet)" in origin
        expect(page.locator(".cd-reveal .cd-source")).to_contain_text("scripted@0123456789ab")
    else:
        outcome = outcome if is_right else "Nope: Donald Trump really posted that."
        assert re.search(r"Real\. Donald Trump, \d+ [A-Z][a-z]+ \d{4}\.", origin)
        link = page.get_by_role("link", name="See the original")
        expect(link).to_have_attribute("href", re.compile(r"^https://x\.com/i/status/\d+$"))
    expect(page.locator(".cd-outcome")).to_have_text(outcome)
    expect(page.locator(".cd-said")).to_contain_text(f"You said {said}. Our detector got it")
    expect(page.locator(".cd-said")).to_contain_text("% computer")
    return truth


def test_keys_meant_otherwise_answer_nothing_and_what_is_not_heard_is_answered_again(
    game: Page, app: AppProcess
) -> None:
    state = game.locator(".cd-game")
    start(game)
    # Arrows that choose a tab, and keys on another one.
    game.get_by_role("tab", name="Guess").focus()
    game.keyboard.press("ArrowRight")
    game.wait_for_timeout(300)
    expect(game.get_by_role("tab", name="Detect")).to_be_focused()
    game.evaluate("document.activeElement.blur()")
    game.keyboard.press("ArrowLeft")
    game.wait_for_timeout(300)
    expect(game.get_by_role("tab", selected=True)).to_have_text("Detect")
    game.get_by_role("tab", name="Guess").click()
    expect(state).to_have_attribute("data-state", "asking")
    game.locator(".cd-item").focus()
    # A server that is gone.
    game.context.set_offline(True)
    game.keyboard.press("ArrowLeft")
    expect(game.locator(".cd-message")).to_contain_text("Try again in a moment.")
    game.context.set_offline(False)
    game.keyboard.press("ArrowLeft")
    told(game)
    answered(game, 1)
    # A round that was answered elsewhere.
    body = dealt(game, lambda: game.keyboard.press("Enter"))
    answer = {"ticket": body["ticket"], "guess": "real"}
    assert HTTP.post(f"{app.url}/guess/answer", json=answer).status_code == 200
    game.keyboard.press("ArrowLeft")
    expect(game.locator(".cd-message")).to_have_text("That one has been answered already.")
    expect(game.locator(".cd-truth")).to_be_hidden()
    # Sooner, a click counts as the second one of a double tap on an answer.
    game.wait_for_timeout(400)
    game.get_by_role("button", name="Next").click()
    expect(state).to_have_attribute("data-state", "asking")


def test_a_round_fits_stays_in_place_outlives_reloads_and_ends_with_what_is_worth_sharing(
    game: Page, app: AppProcess, screenshots: Path
) -> None:
    game.context.grant_permissions(["clipboard-read", "clipboard-write"])
    game.set_viewport_size(PHONE)
    start(game)
    # The start screen became a sheet.
    take_shifts(game)
    seen: set[str] = set()
    places: set[int] = set()
    for number in range(1, 11):
        is_asked(game)
        expect(game.locator(".cd-place")).to_have_text(f"{number} of 10")
        text = game.locator(".cd-item-text").inner_text()
        seen.add(text)
        if number == 5:
            open_game(game, app)
            expect(game.locator(".cd-item-text")).to_have_text(text)
            expect(game.locator(".cd-place")).to_have_text("5 of 10")
        if number == 6:
            pictured(game, screenshots, "guess")
            game.set_viewport_size(PHONE)
        if number < 5:
            places.add(round(bottom(game, ".cd-answers")))
        game.keyboard.press("r" if number % 2 else "ArrowRight")
        told(game)
        if number < 5:
            places.add(round(bottom(game, ".cd-next")))
            # Also what an answer is the reason of.
            assert_steady(game, even_after_input=True)
        if number == 5:
            outcome = game.locator(".cd-reveal").inner_text()
            open_game(game, app)
            told(game)
            expect(game.locator(".cd-reveal")).to_have_text(outcome, use_inner_text=True)
            game.locator(".cd-next").focus()
        if number == 6:
            pictured(game, screenshots, "guessed")
            game.set_viewport_size(PHONE)
        assert_steady(game)
        game.keyboard.press("Enter")
    assert max(places) - min(places) <= 1, "Answers and Next stay in one place."
    over = game.locator(".cd-over")
    expect(over).to_be_focused()
    assert_steady(game)
    score = game.locator(".cd-score").inner_text()
    pictured(game, screenshots, "round-over")
    open_game(game, app)
    expect(over).to_be_visible()
    expect(game.locator(".cd-score")).to_have_text(score)
    expect_a_whole_end(game, app)

    game.get_by_role("button", name="Play again").click()
    # Where the window is too low for the sheet: a phone held sideways, or a page zoomed in.
    game.set_viewport_size({"width": 640, "height": 400})
    is_asked(game)
    expect(game.locator(".cd-place")).to_have_text("1 of 10")
    answered(game, 10)
    assert bottom(game, ".cd-answers") <= 400
    # No tweet comes twice in a visit.
    seen.add(game.locator(".cd-item-text").inner_text())
    game.keyboard.press("ArrowLeft")
    told(game)
    game.keyboard.press("Enter")
    is_asked(game)
    seen.add(game.locator(".cd-item-text").inner_text())
    assert len(seen) == 12
    # What another version of the page kept is forgotten.
    game.evaluate("""() => sessionStorage.setItem(Object.keys(sessionStorage)[0],
        '{"round": {"results": [7]}, "item": {}, "score": 3}')""")
    start(open_game(game, app))


def bottom(page: Page, selector: str) -> float:
    """Where it ends, in the window."""
    found: float = page.locator(selector).evaluate("e => e.getBoundingClientRect().bottom")
    return found


def expect_a_whole_end(page: Page, app: AppProcess) -> None:
    """Both scores, what the tweets were, and words to share."""
    over = page.locator(".cd-over")
    right = over.locator("li[data-right=true]").count()
    expect(over.locator("li")).to_have_count(10)
    expect(page.locator(".cd-score")).to_have_text(f"{right} of 10")
    (machine,) = re.findall(r"it got (\d+)|machine got (\d+)", over.inner_text())
    theirs = int("".join(machine))
    contest = "You beat" if right > theirs else "The machine beat" if right < theirs else "A draw"
    expect(page.locator(".cd-contest")).to_contain_text(contest)
    for item in over.locator("li[data-truth=computer]").all_inner_texts():
        assert "AI-generated parody (not a real tweet)" in item
    page.get_by_role("button", name="Share score").click()
    expect(page.locator(".cd-share-round")).to_have_text("Copied")
    first, squares, address = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert (
        first == f"Trump or Computer Dump? {right}/10 (the machine: {theirs}/10). Can you beat me?"
    )
    assert re.fullmatch("[🟩🟥]{10}", squares)
    assert squares.count("🟩") == right
    assert address == f"{app.url}/#guess"


def crowd(page: Page) -> int:
    """How many players the page says have answered this text of the day; other tests play, too."""
    said = page.locator(".cd-crowd")
    text = r"You are the first to guess this one today\.|\d+% of (\d+) players were fooled today\."
    expect(said).to_have_text(re.compile(text))
    found = re.fullmatch(text, said.inner_text())
    assert found
    return int(found[1] or 1)


def test_the_daily_ten_is_played_once_counted_kept_in_this_browser_alone_and_over_after_its_day(
    game: Page, app: AppProcess
) -> None:
    game.context.grant_permissions(["clipboard-read", "clipboard-write"])
    start(game, "The Daily Ten")
    first = game.locator(".cd-item-text").inner_text()
    game.keyboard.press("ArrowRight")
    told(game)
    players = crowd(game)
    game.keyboard.press("Enter")
    play(game, 9)
    over = game.locator(".cd-over")
    expect(over).to_contain_text("Daily streak: day 1.")
    expect(over).to_contain_text("kept in this browser and nowhere else")
    game.get_by_role("button", name="Share score").click()
    expect(game.locator(".cd-share-round")).to_have_text("Copied")
    shared = game.evaluate("navigator.clipboard.readText()")
    assert re.match(r"Trump or Computer Dump\? #\d+ [🟩🟥]{10} you \d+, machine \d+\n", shared)
    assert first not in shared
    game.evaluate("sessionStorage.clear()")
    open_game(game, app)
    expect(game.locator(".cd-streak")).to_contain_text("Daily streak: day 1.")
    game.get_by_role("button", name="Today you got").click()
    expect(over).to_contain_text("Daily streak: day 1.")
    # Another browser has the same ten, and joins the counts.
    game.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
    start(open_game(game, app), "The Daily Ten")
    expect(game.locator(".cd-item-text")).to_have_text(first)
    game.keyboard.press("ArrowRight")
    told(game)
    assert crowd(game) == players + 1
    # A day that is over is said, and today's can be played.
    game.evaluate("""() => {
        const key = Object.keys(sessionStorage)[0];
        const old = sessionStorage.getItem(key).replace(/"day":"[^"]*"/, '"day":"2026-01-02"');
        sessionStorage.setItem(key, old);
    }""")
    open_game(game, app).locator(".cd-next").press("Enter")
    expect(game.locator(".cd-begin")).to_contain_text("That day's ten are over.")
    start(game, "The Daily Ten")


# --- fool a friend ---


def friend(page: Page, url: str, request: dict[str, Any]) -> Locator:
    """Opens a link of "Fool a friend" with this request in it."""
    packed = base64.urlsafe_b64encode(json.dumps(request).encode()).decode().rstrip("=")
    open_page(page, f"{url}/#fool={packed}", ".cd-fool")
    return page.locator(".cd-fool")


def test_a_friend_is_fooled_by_a_link(game: Page, app: AppProcess, tmp_path: Path) -> None:
    game.context.grant_permissions(["clipboard-read", "clipboard-write"])
    start(game)
    game.get_by_role("tab", name="Write").click()
    card = finished(game, "Hello")
    card.get_by_role("button", name="Fool a friend").click()
    expect(card.locator(".cd-fool-friend")).to_have_text("Copied")
    words, link = game.evaluate("navigator.clipboard.readText()").split("\n")
    assert "Can you tell?" in words
    # What was typed cannot be read in it.
    assert re.fullmatch(rf"{app.url}/#fool=[\w-]+", link)

    page = open_page(game.context.new_page(), link, ".cd-fool-pair")
    texts = page.locator(".cd-fool-text")
    tweets = {tweet.text for tweet in write_tweets(tmp_path)}
    shown = texts.all_inner_texts()
    (fake,) = (i for i, text in enumerate(shown) if text not in tweets)
    assert shown[fake].startswith("Hello ")
    assert page.get_by_text("not a real tweet").count() == 0
    texts.nth(fake).click()
    expect(page.locator(".cd-fool-outcome")).to_have_text("Fooled: a computer wrote that.")
    expect(texts.nth(fake)).to_have_attribute("data-truth", "computer")
    expect(texts.nth(fake).locator("mark")).to_have_text("Hello")
    expect(page.locator(".cd-fool-real")).to_have_text(
        re.compile(r"^Real: Donald Trump, \d+ [A-Z][a-z]+ 20\d\d\. See the original$")
    )
    expect(texts.nth(fake).locator("small")).to_have_text("AI-generated parody (not a real tweet)")
    expect(texts.nth(1 - fake).locator("small")).to_have_text("Real tweet")
    expect(page.locator(".cd-fool-typed")).to_have_text(re.compile("Your friend typed.* Hello"))
    expect(page.locator(".cd-fool-source")).to_contain_text("scripted@0123456789ab")
    assert cut_off(page) == []
    found = Axe().run(page, context=".cd-fool").response["violations"]
    assert [violation["id"] for violation in found] == []
    # The fragment is no link of ours to the writing tab.
    expect(page.locator(".cd-card")).to_have_attribute("data-state", re.compile("empty|specimen"))
    page.get_by_role("button", name="Write one yourself").click()
    expect(page.locator(".cd-fool")).to_be_hidden()
    assert page.url == f"{app.url}/"


def test_a_link_cannot_pass_off_what_its_sender_typed_and_a_damaged_one_says_so(
    visitor: Page, app: AppProcess
) -> None:
    said = "I hereby resign as a teapot, because I have never been one. " * 4
    fool = friend(visitor, app.url, {"prompt": said, "seed": 1, "text": said, "generated": said})
    error = fool.locator(".cd-fool-error")
    expect(error).to_be_visible()
    fool = friend(visitor, app.url, {"prompt": said, "seed": 1})
    expect(error).to_contain_text("mostly typed")
    expect(fool.locator(".cd-fool-pair")).to_be_hidden()
    assert "resign" not in fool.inner_text()
    for link in ("%3Cimg%20src%3Dx%3E", "e30", "bnVsbA", ""):
        error.evaluate("error => { error.textContent = ''; }")
        visitor.evaluate("link => { location.hash = link; }", f"fool={link}")
        expect(error).to_contain_text("This link is damaged")


def test_without_tweets_one_sentence_says_so_and_nobody_is_fooled(
    visitor: Page, scripted_app: AppProcess
) -> None:
    page = open_page(visitor, f"{scripted_app.url}/#guess")
    expect(page.locator("#cd-guess")).to_have_text(NO_TWEETS)
    assert "setting TWEETS or TWEETS_DATASET" in NO_TWEETS
    page.get_by_role("tab", name="Write").click()
    card = finished(page, "Today")
    expect(card.locator(".cd-send")).to_be_visible()
    expect(card.locator(".cd-fool-friend")).to_be_hidden()
    fool = friend(page, scripted_app.url, {"prompt": "Today", "seed": 1})
    expect(fool.locator(".cd-fool-error")).to_contain_text("started without any")
