"""The way from a question to its answer: conversation, retrieve, gate, prompt, generate, ground, cite.

Sees interfaces only: no Redis, no RQ, no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence, Set
from dataclasses import dataclass

from config.settings import Settings
from contract.answer import Citation, Outcome
from contract.question import Question
from contract.turn import Turn
from contract.why import FoundPassage, Why
from workers.capability import Capability, capability_of
from workers.engine.engine import GenerationRequest
from workers.engine.generation import Generate, Generation, PromptTooLongError, Publish
from workers.evidence import Evidence, rank
from workers.follow_up import MAX_NEW_TOKENS, SHORT_WORDS, leans, rewriting_turns, stand_alone, usable
from workers.gate import COMPARED_HITS, Decision, Gate
from workers.grounding import Grounding, ends_sentence
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.passage import Passage
from workers.knowledge.retriever import Retriever, ScoredPassage
from workers.knowledge.words import Language, size_words
from workers.links import Links
from workers.prompt import build_prompt, unfenced

_EXPLAINED = 8  # passages that `fennel why` shows
_FIRST_TEXT_SHARE = 4  # until the first text, the answer is looked at this much oftener
_PROMPT_SHARES = (1.0, 0.6, 0.3)

BasesOf = Callable[[str], Collection[str]]


@dataclass(frozen=True, slots=True)
class PipelineAnswer:
    """How a question ended. `reason` names the kind of small talk; `first_text_at_s` is monotonic.

    `why` is what the gate saw and decided.
    """

    outcome: Outcome
    text: str
    citations: tuple[Citation, ...]
    first_text_at_s: float | None
    reason: str
    why: Why


@dataclass(frozen=True, slots=True)
class _Found:
    """What a search gave: the text that was searched for, the hits and what the gate made of them."""

    text: str
    hits: list[ScoredPassage]
    decision: Decision


class Pipeline:
    """Answers questions, many at a time: a thread calls `answer` for each, and nothing is kept between them.

    `bases_of` tells which knowledge bases a channel may see, by its name PLATFORM:TENANT:CHANNEL.
    """

    def __init__(
        self, retriever: Retriever, gate: Gate, settings: Settings, bases_of: BasesOf = lambda _: (DEFAULT_BASE,)
    ) -> None:
        self._retriever = retriever
        self._gate = gate
        self._settings = settings
        self._bases_of = bases_of
        self._capability = capability_of(settings.engine.model)

    def answer(self, question: Question, turns: Sequence[Turn], generate: Generate, publish: Publish) -> PipelineAnswer:
        """Answer a question of a thread; `publish` gets the whole text so far, which later text only adds to.

        Raises EngineError where the engine fails and KnowledgeError where the index does.
        """
        bases = self._bases_of(question.place)
        found = self._find(question, turns, bases, generate)
        refusal = _refusal(question, found.decision)
        if refusal:
            why = self._why(question, found, refusal, frozenset(), "nobody")
            return PipelineAnswer(refusal, "", (), None, found.decision.talk, why)

        hits = found.hits[: self._settings.knowledge.passages]
        evidence = rank(found.text, hits, self._retriever)
        passages = _passages(evidence, self._capability.passages)
        chosen = {passage.id for passage in passages}
        grounding = Grounding(found.text, [one for one in evidence if one.hit.passage.id in chosen], self._capability)
        language = _language(question)
        links = Links(passages)
        shown = _Shown(publish, links)
        if _can_write(self._capability, language, passages):
            self._ask_model(question, language, passages, turns, generate, grounding, shown)
        text, citations = grounding.finish()
        text = links.kept(text)
        shown.show(text)
        why = self._why(question, found, Outcome.ANSWERED, frozenset(chosen), _writer(grounding))
        return PipelineAnswer(Outcome.ANSWERED, text, citations, shown.first_at_s, "", why)

    def _why(self, question: Question, found: _Found, outcome: Outcome, given: Set[int], written_by: str) -> Why:
        decision = found.decision
        return Why(
            question_id=question.id,
            decided_at_s=time.time(),
            outcome=outcome.value,
            verdict=decision.verdict,
            score=decision.score,
            min_score=decision.min_score,
            sure=decision.sure,
            heard=question.heard,
            with_thread=found.text != question.text,
            written_by=written_by,
            model=self._settings.engine.model,
            reasons=decision.reasons,
            passages=tuple(
                FoundPassage(
                    hit.passage.label, hit.passage.source, hit.score, hit.dense, hit.coverage, hit.passage.id in given
                )
                for hit in found.hits[:_EXPLAINED]
            ),
        )

    def _find(self, question: Question, turns: Sequence[Turn], bases: Collection[str], generate: Generate) -> _Found:
        """Search for the question alone, or for what it means in its thread where it cannot be understood alone."""
        alone = self._search(question.text, turns, bases)
        if not turns or alone.decision.verdict == "small_talk":
            return alone
        short = size_words(question.text) <= SHORT_WORDS
        if not leans(question.text) and not (short and alone.decision.verdict == "not_found"):
            return alone
        together = self._search(self._whole(question, turns, generate), turns, bases)
        return together if together.decision.score > alone.decision.score else alone

    def _whole(self, question: Question, turns: Sequence[Turn], generate: Generate) -> str:
        """The question in its thread: by rule, and where the rule is not sure by a model that is able to."""
        whole = stand_alone(question.text, turns)
        language = _language(question)
        if whole.sure or not self._capability.reads_closely or language not in self._capability.languages:
            return whole.text
        prompt = rewriting_turns(question.text, language, turns)
        generation = generate(GenerationRequest(f"{question.id}-whole", prompt, MAX_NEW_TOKENS))
        try:
            while not generation.wait(self._settings.worker.partial_interval_s):
                pass
            return usable(generation.result(), question.text, turns) or whole.text
        except PromptTooLongError:
            return whole.text
        except BaseException:
            # Nobody will read it any more: a time limit, or a stop.
            generation.cancel()
            raise

    def _search(self, text: str, turns: Sequence[Turn], bases: Collection[str]) -> _Found:
        hits = self._retriever.search(text, max(COMPARED_HITS, self._settings.knowledge.passages), bases)
        return _Found(text, hits, self._gate.decide(text, hits, turns, bases))

    def _ask_model(
        self,
        question: Question,
        language: Language,
        passages: Sequence[Passage],
        turns: Sequence[Turn],
        generate: Generate,
        grounding: Grounding,
        shown: _Shown,
    ) -> None:
        """Let the model answer; where its tokenizer makes more of the prompt than was estimated, with less of it."""
        engine = self._settings.engine
        asker = (question.asker, question.asker_name)
        for share in _PROMPT_SHARES:
            prompt = build_prompt(
                question.text, language, passages, turns, int(share * engine.max_prompt_tokens), asker
            )
            try:
                self._watch(generate(GenerationRequest(question.id, prompt, engine.max_new_tokens)), grounding, shown)
            except PromptTooLongError:
                continue
            return

    def _watch(self, generation: Generation, grounding: Grounding, shown: _Shown) -> None:
        """Show the answer's whole sentences as they come, until the end or the first one that is not grounded."""
        interval_s = self._settings.worker.partial_interval_s
        try:
            while not generation.wait(interval_s if shown.first_at_s else interval_s / _FIRST_TEXT_SHARE):
                grounding.take(unfenced(generation.text()), ended=False)
                shown.show(grounding.text)
                if grounding.failed:
                    generation.cancel()
                    return
        except BaseException:
            # Nobody will read it any more: a time limit, or a stop.
            generation.cancel()
            raise
        text = unfenced(generation.result())
        # At the limit the model was cut off, in the middle of a sentence most likely.
        cut_off = generation.new_tokens >= self._settings.engine.max_new_tokens
        grounding.take(text, ended=not cut_off or ends_sentence(text))


class _Shown:
    """What has been published, and when the first of it was."""

    def __init__(self, publish: Publish, links: Links) -> None:
        self._publish = publish
        self._links = links
        self._text = ""
        self.first_at_s: float | None = None

    def show(self, text: str) -> None:
        """Publish the text unless it is known already."""
        text = self._links.kept(text)
        if text == self._text:
            return
        self._text = text
        self.first_at_s = self.first_at_s or time.monotonic()
        self._publish(text)


def _language(question: Question) -> Language:
    return "zh" if question.language == "zh" else "en"


def _refusal(question: Question, decision: Decision) -> Outcome | None:
    """How the question ends without an answer; None where it gets one."""
    if decision.verdict in ("small_talk", "not_question"):
        return Outcome.SMALL_TALK
    if decision.verdict == "not_found":
        return Outcome.NOT_FOUND
    # Nobody asked us: a wrong answer would be worse than none.
    return Outcome.NOT_FOUND if question.heard == "ambient" and not decision.sure else None


def _writer(grounding: Grounding) -> str:
    if not grounding.text:
        return "quote"
    return "both" if grounding.failed else "model"


def _passages(evidence: Sequence[Evidence], limit: int) -> list[Passage]:
    """The passages by their best sentence, as many as the model can keep apart."""
    ranked: dict[int, Passage] = {}
    for one in evidence:
        ranked.setdefault(one.hit.passage.id, one.hit.passage)
    return list(ranked.values())[:limit]


def _can_write(capability: Capability, language: Language, passages: Sequence[Passage]) -> bool:
    """Whether the model is able to answer in this language out of these passages."""
    return {language, *(passage.language for passage in passages)} <= capability.languages
