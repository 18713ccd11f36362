"""The guessing game, played in a real browser over made-up tweets."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Response, expect

from demo.game.game import NO_TWEETS
from tests.browser.actions import finished
from tests.browser.conftest import cut_off, open_page
from tests.guessing import write_tweets
from tests.processes import AppProcess, running_app


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
    page = open_game(visitor, app)
    page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
    return open_game(page, app)


def open_game(page: Page, app: AppProcess) -> Page:
    """The Guess tab, loaded anew."""
    page.goto(f"{app.url}/robots.txt")
    open_page(page, app.url)
    page.get_by_role("tab", name="Guess").click()
    return page


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


def dealt(page: Page) -> dict[str, Any]:
    """Starts, and gives what the server sent for the round that is asked."""

    def is_a_round(response: Response) -> bool:
        return "/guess/next" in response.url and '"ready"' in response.text()

    with page.expect_response(is_a_round, timeout=20_000) as answered:
        start(page)
    body: dict[str, Any] = answered.value.json()
    return body


def told(page: Page) -> None:
    expect(page.locator(".cd-game")).to_have_attribute("data-state", "told")


def answered(page: Page, tweets: int) -> None:
    row = page.get_by_role("row", name="You")
    expect(row.get_by_role("cell").last).to_have_text(str(tweets))


def test_a_tweet_is_asked_answered_and_revealed(game: Page) -> None:
    start(game)
    expect(game.locator(".cd-place")).to_have_text("1 of 10")
    expect(game.locator(".cd-caption")).to_be_visible()
    game.get_by_role("button", name="Computer Dump").click()
    told(game)
    truth = game.locator(".cd-truth").inner_text()
    if truth.startswith("Computer."):
        expect(game.locator(".cd-outcome")).to_have_text("Correct!")
        assert "AI-generated parody (not a real tweet)" in truth
        expect(game.locator(".cd-reveal .cd-source")).to_contain_text("scripted@0123456789ab")
    else:
        expect(game.locator(".cd-outcome")).to_have_text("Nope: Donald Trump really posted that.")
        assert re.search(r"Real\. Donald Trump, \d+ [A-Z][a-z]+ \d{4}\.", truth)
        link = game.get_by_role("link", name="See the original")
        expect(link).to_have_attribute("href", re.compile(r"^https://x\.com/i/status/\d+$"))
    expect(game.locator(".cd-said")).to_contain_text("You said Computer Dump. Our detector got it")
    expect(game.locator(".cd-said")).to_contain_text("% computer")
    answered(game, 1)


def test_a_round_ends_with_both_scores_what_the_tweets_were_and_words_to_share(
    game: Page, app: AppProcess
) -> None:
    game.context.grant_permissions(["clipboard-read", "clipboard-write"])
    start(game)
    play(game, 10)
    over = game.locator(".cd-over")
    expect(over).to_be_focused()
    right = over.locator("li[data-right=true]").count()
    expect(over.locator("li")).to_have_count(10)
    expect(game.locator(".cd-score")).to_have_text(f"{right} of 10")
    (machine,) = re.findall(r"it got (\d+)|machine got (\d+)", over.inner_text())
    theirs = int("".join(machine))
    contest = "You beat" if right > theirs else "The machine beat" if right < theirs else "A draw"
    expect(game.locator(".cd-contest")).to_contain_text(contest)
    for item in over.locator("li[data-truth=computer]").all_inner_texts():
        assert "AI-generated parody (not a real tweet)" in item
    game.get_by_role("button", name="Share score").click()
    expect(game.locator(".cd-share-round")).to_have_text("Copied")
    first, squares, address = game.evaluate("navigator.clipboard.readText()").split("\n")
    assert (
        first == f"Trump or Computer Dump? {right}/10 (the machine: {theirs}/10). Can you beat me?"
    )
    assert re.fullmatch("[🟩🟥]{10}", squares)
    assert squares.count("🟩") == right
    assert address == f"{app.url}/#guess"
    game.get_by_role("button", name="Play again").click()
    expect(game.locator(".cd-place")).to_have_text("1 of 10")
    answered(game, 10)


def test_a_reload_keeps_the_round_wherever_it_is(game: Page, app: AppProcess) -> None:
    start(game)
    play(game, 3)
    is_asked(game)
    text = game.locator(".cd-item-text").inner_text()
    open_game(game, app)
    expect(game.locator(".cd-item-text")).to_have_text(text)
    expect(game.locator(".cd-place")).to_have_text("4 of 10")
    game.locator(".cd-answer").first.click()
    told(game)
    outcome = game.locator(".cd-reveal").inner_text()
    open_game(game, app)
    told(game)
    expect(game.locator(".cd-reveal")).to_have_text(outcome, use_inner_text=True)
    game.locator(".cd-next").press("Enter")
    play(game, 6)
    score = game.locator(".cd-score").inner_text()
    open_game(game, app)
    expect(game.locator(".cd-over")).to_be_visible()
    expect(game.locator(".cd-score")).to_have_text(score)


def test_what_another_version_kept_is_forgotten(game: Page, app: AppProcess) -> None:
    start(game)
    game.evaluate("""() => sessionStorage.setItem(Object.keys(sessionStorage)[0],
        '{"round": {"results": [7]}, "item": {}, "score": 3}')""")
    start(open_game(game, app))


def crowd(page: Page) -> int:
    """How many players the page says have answered this text of the day; other tests play, too."""
    said = page.locator(".cd-crowd")
    text = r"You are the first to guess this one today\.|\d+% of (\d+) players were fooled today\."
    expect(said).to_have_text(re.compile(text))
    found = re.fullmatch(text, said.inner_text())
    assert found
    return int(found[1] or 1)


def test_the_daily_ten_is_played_once_counted_and_kept_in_this_browser_alone(
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


def test_a_day_that_is_over_is_said_and_todays_can_be_played(game: Page, app: AppProcess) -> None:
    start(game, "The Daily Ten")
    game.keyboard.press("ArrowRight")
    told(game)
    game.evaluate("""() => {
        const key = Object.keys(sessionStorage)[0];
        const old = sessionStorage.getItem(key).replace(/"day":"[^"]*"/, '"day":"2026-01-02"');
        sessionStorage.setItem(key, old);
    }""")
    open_game(game, app).locator(".cd-next").press("Enter")
    expect(game.locator(".cd-begin")).to_contain_text("That day's ten are over.")
    start(game, "The Daily Ten")


def bottom(page: Page, selector: str) -> float:
    """Where it ends, in the window."""
    found: float = page.locator(selector).evaluate("e => e.getBoundingClientRect().bottom")
    return found


def test_answers_and_next_stay_in_one_place(game: Page) -> None:
    game.set_viewport_size({"width": 390, "height": 900})
    start(game)
    places = set()
    for _ in range(4):
        is_asked(game)
        places.add(round(bottom(game, ".cd-answers")))
        game.keyboard.press("ArrowLeft")
        told(game)
        places.add(round(bottom(game, ".cd-next")))
        game.keyboard.press("Enter")
    assert max(places) - min(places) <= 1
    # Where the window is too low for the sheet: a phone held sideways, or a page zoomed in.
    game.set_viewport_size({"width": 640, "height": 400})
    is_asked(game)
    assert bottom(game, ".cd-answers") <= 400


def test_no_tweet_comes_twice_in_a_visit(game: Page) -> None:
    start(game)
    seen = set()
    for number in range(12):
        is_asked(game)
        seen.add(game.locator(".cd-item-text").inner_text())
        game.keyboard.press("r")
        told(game)
        game.keyboard.press("Enter")
        if number == 9:
            game.get_by_role("button", name="Play again").click()
    assert len(seen) == 12


def test_the_browser_holds_no_answer_before_it_is_given(game: Page) -> None:
    body = dealt(game)
    assert set(body) == {"state", "visit", "ticket", "text", "everyone", "reason"}
    page = game.content()
    for word in ("x.com/i/status", '"truth"'):
        assert word not in page
    # On the Write tab a specimen says where it comes from.
    assert "scripted@0123456789ab" not in game.locator("#cd-guess").inner_html()
    assert "truth" not in json.dumps(body)


def test_two_quick_answers_are_one(game: Page) -> None:
    start(game)
    game.evaluate("""() => document.querySelectorAll(".cd-answer").forEach((b) => b.click())""")
    told(game)
    answered(game, 1)


def test_the_keyboard_goes_on_at_the_next_tweet(game: Page) -> None:
    start(game)
    expect(game.locator(".cd-item")).to_be_focused()
    game.keyboard.press("ArrowRight")
    told(game)
    expect(game.locator(".cd-next")).to_be_focused()
    game.keyboard.press("Enter")
    expect(game.locator(".cd-item")).to_be_focused()


def test_arrows_that_choose_a_tab_answer_nothing(game: Page) -> None:
    start(game)
    game.get_by_role("tab", name="Guess").focus()
    game.keyboard.press("ArrowRight")
    game.wait_for_timeout(300)
    expect(game.locator(".cd-game")).to_have_attribute("data-state", "asking")


def test_keys_do_nothing_on_another_tab(game: Page) -> None:
    start(game)
    game.get_by_role("tab", name="Detect").click()
    game.keyboard.press("ArrowLeft")
    game.wait_for_timeout(300)
    game.get_by_role("tab", name="Guess").click()
    expect(game.locator(".cd-game")).to_have_attribute("data-state", "asking")


def test_a_server_that_is_gone_is_said_and_the_round_goes_on(game: Page) -> None:
    start(game)
    game.context.set_offline(True)
    game.keyboard.press("ArrowLeft")
    expect(game.locator(".cd-message")).to_contain_text("Try again in a moment.")
    game.context.set_offline(False)
    game.keyboard.press("ArrowLeft")
    told(game)
    answered(game, 1)


def test_a_round_that_was_answered_elsewhere_says_so_and_another_comes(
    game: Page, app: AppProcess
) -> None:
    answer = {"ticket": dealt(game)["ticket"], "guess": "real"}
    assert httpx.post(f"{app.url}/guess/answer", json=answer).status_code == 200
    game.keyboard.press("ArrowLeft")
    expect(game.locator(".cd-message")).to_have_text("That one has been answered already.")
    expect(game.locator(".cd-truth")).to_be_hidden()
    game.get_by_role("button", name="Next").click()
    expect(game.locator(".cd-game")).to_have_attribute("data-state", "asking")


def test_without_tweets_one_sentence_says_so(visitor: Page, scripted_app: AppProcess) -> None:
    page = open_page(visitor, f"{scripted_app.url}/#guess")
    expect(page.locator("#cd-guess")).to_have_text(NO_TWEETS)
    assert "setting TWEETS or TWEETS_DATASET" in NO_TWEETS


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1280, "light")])
def test_the_game_fits_and_has_its_picture_taken(
    visitor: Page, app: AppProcess, screenshots: Path, width: int, theme: str
) -> None:
    page = open_page(visitor, f"{app.url}/?__theme={theme}#guess")
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(reduced_motion="reduce")
    page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
    page.reload()
    start(page)
    page.screenshot(path=screenshots / f"guess-{width}-{theme}.png", full_page=True)
    page.keyboard.press("ArrowRight")
    told(page)
    page.screenshot(path=screenshots / f"guessed-{width}-{theme}.png", full_page=True)
    assert cut_off(page) == []
    page.keyboard.press("Enter")
    play(page, 9)
    page.screenshot(path=screenshots / f"round-over-{width}-{theme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert cut_off(page) == []


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


def test_a_link_cannot_pass_off_what_its_sender_typed(visitor: Page, app: AppProcess) -> None:
    said = "I hereby resign as a teapot, because I have never been one. " * 4
    fool = friend(visitor, app.url, {"prompt": said, "seed": 1, "text": said, "generated": said})
    expect(fool.locator(".cd-fool-error")).to_be_visible()
    fool = friend(visitor, app.url, {"prompt": said, "seed": 1})
    expect(fool.locator(".cd-fool-error")).to_contain_text("mostly typed")
    expect(fool.locator(".cd-fool-pair")).to_be_hidden()
    assert "resign" not in fool.inner_text()


@pytest.mark.parametrize("link", ["%3Cimg%20src%3Dx%3E", "e30", "bnVsbA", ""])
def test_a_damaged_link_says_so(visitor: Page, app: AppProcess, link: str) -> None:
    page = open_page(visitor, f"{app.url}/#fool={link}", ".cd-fool")
    expect(page.locator(".cd-fool-error")).to_contain_text("This link is damaged")


def test_nobody_is_fooled_without_real_tweets(visitor: Page, scripted_app: AppProcess) -> None:
    card = finished(open_page(visitor, scripted_app.url), "Today")
    expect(card.locator(".cd-send")).to_be_visible()
    expect(card.locator(".cd-fool-friend")).to_be_hidden()
    fool = friend(visitor, scripted_app.url, {"prompt": "Today", "seed": 1})
    expect(fool.locator(".cd-fool-error")).to_contain_text("started without any")
