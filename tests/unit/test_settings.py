"""Settings: defaults, what is refused, and the README's table."""

from pathlib import Path

import pytest

from demo.settings import VARIABLES, InvalidSetting, read_settings, settings_table

KINDS = ("TEXTS", "CALLS", "ROUNDS", "PARTS")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def refusal(**environ: str) -> str:
    with pytest.raises(InvalidSetting) as caught:
        read_settings(environ)
    return str(caught.value)


def test_nothing_set_means_the_defaults_of_the_table() -> None:
    settings = read_settings({})
    assert (settings.model_id, settings.checkpoint, settings.device) == ("", None, "auto")
    assert (settings.server_name, settings.server_port) == ("127.0.0.1", 7860)
    assert settings.cache_dir == Path.home() / ".cache/trump-or-computer-dump"


def test_an_empty_variable_is_an_unset_one() -> None:
    assert read_settings({v.name: " " for v in VARIABLES}) == read_settings({})


def test_every_variable_is_read() -> None:
    given = {
        "MODEL_ID": "a/b", "MODEL_REVISION": COMMIT, "CHECKPOINT": "/c", "BASE_FILE": "/d",
        "CACHE_DIR": "/e", "ENGINE": "remote", "DEVICE": "cpu", "SLOTS": "9",
        "ENGINE_URL": "http://m:1/v1", "ENGINE_KEY": "n", "ENGINE_MODEL": "o p",
        "ENGINE_KIND": "llama-server",
        "GRADIO_SERVER_NAME": "::1",
        "GRADIO_SERVER_PORT": "80", "QUEUE_SIZE": "7", "DEADLINE_SECONDS": "8",
        "MAX_BODY_BYTES": "2048", "TWEETS": "/f", "TWEETS_DATASET": "g/h",
        "TWEETS_REVISION": COMMIT[::-1], "COUNTS_DATASET": "i/j", "CONTACT": "https://k/@l",
        "VISITOR_QUEUE": "6", "RATE_ALL": "11", "TRUSTED_PROXIES": "2",
        "MASK_SLURS": "0", "METRICS_TOKEN": "m" * 16, "LOG_FORMAT": "json",
        "STOP_SECONDS": "13", "GRADIO_ROOT_PATH": "/some/demo",
    }  # fmt: skip
    rates = {f"RATE_{kind}": f"{i}/hour" for i, kind in enumerate(KINDS, start=20)}
    settings = read_settings({**given, **rates})
    shown = {str(value) for value in vars(settings).values()}
    assert set(given.values()) - {"0", "1"} <= shown
    assert not settings.mask_slurs
    assert {v.name for v in VARIABLES} == {*given, *rates}
    read = [getattr(settings, name.lower())[0] for name in rates]
    assert [str(rate) for rate in read] == [f"{i} per 1 hour" for i in range(20, 24)]


def test_a_space_stands_behind_one_proxy_unless_told_otherwise() -> None:
    assert read_settings({}).trusted_proxies == 0
    assert read_settings({"SYSTEM": "spaces"}).trusted_proxies == 1
    assert read_settings({"SYSTEM": "spaces", "TRUSTED_PROXIES": "0"}).trusted_proxies == 0


@pytest.mark.parametrize("value", ["many", "5", "5/fortnight", "-1/minute", "0x5/minute"])
def test_a_rate_that_cannot_be_read_is_named(value: str) -> None:
    assert refusal(RATE_TEXTS=value).startswith(f"RATE_TEXTS is {value!r}; it must be a rate")


def test_a_space_listens_to_the_world_unless_told_otherwise() -> None:
    assert read_settings({"SYSTEM": "spaces"}).server_name == "0.0.0.0"
    told = {"SYSTEM": "spaces", "GRADIO_SERVER_NAME": "127.0.0.1"}
    assert read_settings(told).server_name == "127.0.0.1"


@pytest.mark.parametrize("contact", ["me", "http://a", "https://", "https://a b", "a@b c", "@a"])
def test_a_contact_is_an_https_or_an_e_mail_address(contact: str) -> None:
    assert "https address or an e-mail address" in refusal(CONTACT=contact)


@pytest.mark.parametrize("path", ["demo", "/a b", "ftp://a/b", "//a", "/a//b", "https://"])
def test_a_root_path_is_a_path_or_an_address(path: str) -> None:
    assert "a path such as /demo, or a whole address" in refusal(GRADIO_ROOT_PATH=path)


def test_a_root_path_needs_no_slash_at_its_end() -> None:
    assert read_settings({"GRADIO_ROOT_PATH": "/some/demo/"}).root_path == "/some/demo"
    address = "https://a.example:8080/demo"
    assert read_settings({"GRADIO_ROOT_PATH": address}).root_path == address


@pytest.mark.parametrize("revision", ["", "main", COMMIT[:12], COMMIT + "0", "g" * 40])
def test_a_hub_checkpoint_must_be_pinned_to_a_commit(revision: str) -> None:
    message = refusal(MODEL_ID="a/b", MODEL_REVISION=revision)
    assert "40 hexadecimal digits" in message
    assert repr(revision) in message


@pytest.mark.parametrize("revision", ["", "main"])
def test_a_dataset_of_tweets_must_be_pinned_to_a_commit_too(revision: str) -> None:
    message = refusal(TWEETS_DATASET="a/b", TWEETS_REVISION=revision)
    assert message.startswith("TWEETS_REVISION must be the 40 hexadecimal digits")
    assert "when TWEETS_DATASET is set" in message


@pytest.mark.parametrize("name", ["TWEETS_DATASET", "COUNTS_DATASET"])
@pytest.mark.parametrize("value", ["a", "a/b/c", "https://hf.co/a/b", "a/ü"])
def test_a_dataset_is_named_as_on_the_hub(name: str, value: str) -> None:
    message = refusal(**{name: value, "TWEETS_REVISION": COMMIT})
    assert message == f"{name} is {value!r}; it must look like user/name."


def test_a_commit_may_be_written_in_capitals() -> None:
    settings = read_settings({"MODEL_ID": "a/b", "MODEL_REVISION": COMMIT.upper()})
    assert settings.model_revision == COMMIT


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("GRADIO_SERVER_PORT", 1, 65_535),
        ("SLOTS", 1, 512),
        ("QUEUE_SIZE", 1, 1_000),
        ("DEADLINE_SECONDS", 1, 3_600),
        ("MAX_BODY_BYTES", 1_024, 10_485_760),
    ],
)
def test_numbers_have_limits_and_errors_name_them(name: str, lowest: int, highest: int) -> None:
    for value in (lowest, highest):
        read_settings({name: str(value)})
    for value in (lowest - 1, highest + 1):
        assert refusal(**{name: str(value)}) == (
            f"{name} is {value}; it must be from {lowest} to {highest}."
        )
    assert refusal(**{name: "many"}) == f"{name} is 'many'; it must be a whole number."


@pytest.mark.parametrize("token", ["short", "a secret of many words", "ü" * 20, "a" * 201])
def test_a_token_that_is_refused_is_not_repeated(token: str) -> None:
    message = refusal(METRICS_TOKEN=token)
    assert message.startswith("METRICS_TOKEN must be 16 to 200")
    assert token not in message


@pytest.mark.parametrize(
    "address", ["localhost:8000", "ftp://a", "http://", "http://a/v1?key=b", "http://a b", "//a/v1"]
)
def test_an_address_of_a_server_is_like_that_of_openais_clients(address: str) -> None:
    assert refusal(ENGINE="remote", ENGINE_URL=address) == (
        f"ENGINE_URL is {address!r}; it must look like http://10.0.0.5:8000/v1."
    )


def test_an_address_may_end_in_a_slash_and_be_of_ipv6() -> None:
    assert read_settings({"ENGINE": "remote", "ENGINE_URL": "https://[::1]:1/v1/"}).engine_url == (
        "https://[::1]:1/v1"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("ENGINE_URL", "http://me:secret@a/v1"), ("ENGINE_KEY", "my secret")]
)
def test_a_secret_is_not_repeated(name: str, value: str) -> None:
    message = refusal(ENGINE="remote", **{name: value})
    assert message.startswith(f"{name} must ")
    assert "secret" not in message.removeprefix(name).replace("is for secrets", "")


@pytest.mark.parametrize("environ", [{"ENGINE": "remote"}, {"ENGINE_URL": "http://a/v1"}])
def test_a_server_elsewhere_takes_both_settings(environ: dict[str, str]) -> None:
    assert "takes ENGINE=remote and its address" in refusal(**environ)


def test_a_device_that_is_none_is_refused() -> None:
    assert refusal(DEVICE="tpu") == "DEVICE is 'tpu'; it must be auto, cpu or cuda."


def test_paths_may_start_at_home() -> None:
    assert read_settings({"CHECKPOINT": "~/c"}).checkpoint == Path.home() / "c"


def test_the_table_has_a_row_for_every_variable() -> None:
    rows = settings_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [v.name for v in VARIABLES]
