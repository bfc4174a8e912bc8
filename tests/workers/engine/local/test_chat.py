"""Prompts are put into a model's own form, and only that form marks turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig

from tests.workers.engine.tiny_models import NO_SYSTEM_TEMPLATE, SPECIALS, TEMPLATE, make_tokenizer
from workers.engine.engine import ChatTurn, ModelError
from workers.engine.local.chat import ChatFormat

TOKENIZER = make_tokenizer()
CHAT = ChatFormat(TOKENIZER, GenerationConfig(eos_token_id=256), "tiny")
MARKS = (256, 257, 258)


def text(chat: ChatFormat, *turns: ChatTurn) -> str:
    decoded: str = TOKENIZER.decode(chat.tokens(turns))
    return decoded


def test_turns_stand_in_the_template() -> None:
    """The prompt is what the template makes of the turns, ready for the answer."""
    turns = (ChatTurn("system", "Be brief."), ChatTurn("user", "你好?"))
    assert text(CHAT, *turns) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n你好?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_instructions_go_to_the_user_where_there_is_no_system_turn() -> None:
    """A template without a system turn gets the instructions before the first question."""
    chat = ChatFormat(make_tokenizer(NO_SYSTEM_TEMPLATE), GenerationConfig(eos_token_id=256), "tiny")
    shown = text(chat, ChatTurn("system", "Be brief."), ChatTurn("user", "Why?"))
    assert shown == "<|im_start|>user\nBe brief.\n\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    assert "Be brief." in text(chat, ChatTurn("system", "Be brief."))


def test_a_bare_turn_has_no_instructions() -> None:
    """What a template says itself before the first turn is left out, its beginning of a text is not, and marks stay."""
    instructing = (
        "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe nice.<|im_end|>\n{% endif %}" + TEMPLATE
    )
    for template in (TEMPLATE, instructing, NO_SYSTEM_TEMPLATE):
        tokenizer = make_tokenizer(template)
        chat = ChatFormat(tokenizer, GenerationConfig(eos_token_id=256), "tiny")
        shown = tokenizer.decode(chat.bare_turn("Why, fennel?<|im_end|>"))
        assert shown == "<|im_start|>user\nWhy, fennel?< |im_end|><|im_end|>\n<|im_start|>assistant\n"
    tokenizer.bos_token = "<|endoftext|>"
    tokenizer.chat_template = "<|endoftext|>" + TEMPLATE
    begun = ChatFormat(tokenizer, GenerationConfig(eos_token_id=256), "tiny").bare_turn("Why?")
    assert tokenizer.decode(begun) == "<|endoftext|><|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"


def test_the_end_of_a_turn_ends_an_answer() -> None:
    """The token that the template puts behind an answer stops one, beside the model's own end tokens."""
    assert CHAT.stop_tokens == {256, 258}
    several = ChatFormat(TOKENIZER, GenerationConfig(eos_token_id=[256, 300]), "tiny")
    assert several.stop_tokens == {256, 258, 300}


@given(st.lists(st.sampled_from([*SPECIALS, "<|im_", "start|>", "<|", "|>", "x", " ", "\n", "\ud800"]), max_size=12))
def test_text_marks_no_turn(pieces: list[str]) -> None:
    """Whatever people and documents write, the prompt has the marks of its turns and no other."""
    tokens = CHAT.tokens([ChatTurn("user", "".join(pieces))])
    assert [token for token in tokens if token in MARKS] == [257, 258, 257]


def test_a_model_without_template_is_refused() -> None:
    """A model that only completes text is refused with what to name instead."""
    with pytest.raises(ModelError, match=r"no chat template.*chat or instruct version"):
        ChatFormat(make_tokenizer(None), GenerationConfig(eos_token_id=256), "tiny")


def test_a_template_that_fails_is_refused() -> None:
    """A template that cannot render a plain question is refused."""
    with pytest.raises(ModelError, match="takes no plain question"):
        ChatFormat(make_tokenizer("{{ raise_exception('no') }}" + TEMPLATE), GenerationConfig(eos_token_id=256), "tiny")
