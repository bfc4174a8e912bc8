"""What a bot counts."""

from __future__ import annotations

from prometheus_client import Counter

silences = Counter("fennel_silences_total", "Chat messages that were not for us, by reason.", ["platform", "reason"])
accepted = Counter(
    "fennel_accepted_total", "Questions taken in: queued, waiting, duplicate or busy.", ["platform", "what"]
)
refusals = Counter("fennel_refusals_total", "Chat messages refused with a sentence, by reason.", ["platform", "reason"])
feedback = Counter("fennel_feedback_total", "What people think of answers.", ["platform", "verdict"])
limited = Counter(
    "fennel_limited_total", "Messages over a limit: of the person, the group, everybody, a bot.", ["platform", "level"]
)
commands = Counter("fennel_commands_total", "Commands in chat, by name.", ["platform", "name"])
handovers = Counter("fennel_handovers_total", "Times that a channel's maintainers were called.", ["platform"])
overheard = Counter(
    "fennel_overheard_total", "Messages collected and turns looked at where we read along.", ["platform", "what"]
)
shown = Counter("fennel_shown_total", "Answers shown in a chat, by outcome.", ["platform", "outcome"])
sends_refused = Counter("fennel_sends_refused_total", "Answers that the platform refused for good.", ["platform"])
sends_ambiguous = Counter("fennel_sends_ambiguous_total", "Sends that broke and had to be looked up.", ["platform"])
entries_dropped = Counter(
    "fennel_answer_entries_dropped_total", "Entries of the answers stream that were no answer.", ["platform"]
)
