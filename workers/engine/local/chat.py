"""A model's chat template: turns to tokens, and the tokens that end an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jinja2.exceptions import TemplateError
from transformers import GenerationConfig, PreTrainedTokenizerBase

from workers.engine.engine import ChatTurn, ModelError
from workers.engine.prompt_text import without_marks

_MARKER = "fennel"
_TURN = "fennel's turn"


class ChatFormat:
    """What a model's chat template says. Raises ModelError for a model without one: it was not made for chats."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, generation: GenerationConfig, model: str) -> None:
        if not tokenizer.chat_template:
            raise ModelError(
                f"the model {model} has no chat template: it completes text and does not answer; "
                f"name its chat or instruct version"
            )
        self._tokenizer = tokenizer
        self._marks = _marks(tokenizer)
        self._takes_system = self._renders(ChatTurn("system", _MARKER), ChatTurn("user", _MARKER))
        if not self._renders(ChatTurn("user", _MARKER)):
            raise ModelError(f"the chat template of the model {model} takes no plain question")
        self.stop_tokens = self._stop_tokens(generation)

    def tokens(self, turns: Sequence[ChatTurn]) -> list[int]:
        """The prompt: the turns in the template, up to where the answer begins.

        What people, documents and the model wrote cannot end a turn or begin one: marks of the template in it are
        broken by a space.
        """
        safe = [ChatTurn(turn.role, without_marks(turn.content, self._marks)) for turn in turns]
        if not self._takes_system:
            safe = _system_into_user(safe)
        return self._encode(self._render(safe))

    def bare_turn(self, content: str) -> list[int]:
        """One turn of a user's, up to where the answer begins, without the instructions that a template adds itself.

        It is taken from the end of a longer conversation, as templates add theirs at the beginning alone.
        """
        earlier = [ChatTurn("user", _MARKER), ChatTurn("assistant", _MARKER)]
        ended = self._render(earlier, answer_follows=False).rpartition(_MARKER)[2]
        safe = without_marks(content, self._marks)
        before, _, after = self._render([*earlier, ChatTurn("user", _TURN)]).rpartition(_TURN)
        turn = before.rpartition(_MARKER)[2].removeprefix(ended) + safe + after
        begin = self._tokenizer.bos_token or ""
        if begin and not turn.startswith(begin) and self._render([ChatTurn("user", _MARKER)]).startswith(begin):
            turn = begin + turn
        return self._encode(turn)

    def _render(self, turns: Sequence[ChatTurn], *, answer_follows: bool = True) -> str:
        text: str = self._tokenizer.apply_chat_template(
            [{"role": turn.role, "content": turn.content} for turn in turns],
            tokenize=False,
            add_generation_prompt=answer_follows,
            enable_thinking=False,  # for models that would think aloud; others' templates do not look at it
        )
        return text

    def _renders(self, *turns: ChatTurn) -> bool:
        try:
            return self._render(turns).count(_MARKER) >= len(turns)
        except TemplateError:
            return False

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
        return ids

    def _stop_tokens(self, generation: GenerationConfig) -> frozenset[int]:
        """The model's end tokens, and the special token that the template puts behind an answer."""
        named = generation.eos_token_id
        stops = set(named if isinstance(named, list) else [named]) | {self._tokenizer.eos_token_id}
        turns = [ChatTurn("user", _MARKER), ChatTurn("assistant", _MARKER)]
        after = self._render(turns, answer_follows=False).rpartition(_MARKER)[2]
        following = self._encode(after.lstrip())[:1]
        stops |= {token for token in following if token in self._tokenizer.all_special_ids}
        return frozenset(token for token in stops if token is not None)


def _marks(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """Matches what the tokenizer would read as one of its marks: special tokens, and others that look like a tag."""
    added = tokenizer.added_tokens_decoder.values()
    marks = {str(token) for token in added if token.special or re.fullmatch(r"<\S+>|\[\S+\]", str(token))}
    marks |= set(tokenizer.all_special_tokens)
    wanted = sorted((mark for mark in marks if len(mark) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, wanted)) or r"(?!)")


def _system_into_user(turns: list[ChatTurn]) -> list[ChatTurn]:
    """For templates that know no system turn: its text before the first user's."""
    system = [turn.content for turn in turns if turn.role == "system"]
    others = [turn for turn in turns if turn.role != "system"]
    if system and others and others[0].role == "user":
        others[0] = ChatTurn("user", "\n\n".join([*system, others[0].content]))
    return others or [ChatTurn("user", "\n\n".join(system))]
