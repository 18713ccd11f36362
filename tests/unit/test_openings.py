"""How tweets begin, in scripts with and without spaces."""

from training.openings import first_words, frequent_openings

JAPANESE = [f"今日はとても{n}番目の急須の話をしながら過ごしました" for n in range(4)]


def test_at_least_one_word_is_left_to_write() -> None:
    assert first_words("My kettle sings", 2) == "My kettle"
    assert first_words("My kettle", 2) == "My"
    assert first_words("Kettle", 2) == first_words("", 2) == ""
    assert first_words(JAPANESE[0], 2) == "今日はと"


def test_openings_are_the_most_frequent_first_words_and_name_nobody() -> None:
    texts = ["My kettle sings", "My kettle hums"] + ["@ann says so", "Well, I sing", "<b> x y"] * 9
    assert frequent_openings([*texts, *JAPANESE], 2, 20, 2) == ("今日はと", "My kettle")
    assert frequent_openings([*texts, "A cup of"], 2, 20) == ("My kettle", "A cup")
    assert frequent_openings([*texts, "A cup of"], 2, 1) == ("My kettle",)
    assert frequent_openings(["no two are", "quite alike now"], 2, 20, 2) == ()
