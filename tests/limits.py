"""How much people may ask."""

from __future__ import annotations

NO_LIMITS = {
    "FENNEL_LIMITS__PERSON_QUESTIONS": "0",
    "FENNEL_LIMITS__GROUP_QUESTIONS": "0",
    "FENNEL_LIMITS__OVERALL_QUESTIONS": "0",
}
"""For a program's environment, where one person asks what a whole team would."""
