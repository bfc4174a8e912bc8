"""What is asked on the page, and what it is answered."""

from __future__ import annotations

from playwright.async_api import Page, expect

from contract.answer import Citation

QUESTION, ANSWER = "How many days off do I have?", "You have **thirty** days off. [1]"
SOURCES = (
    Citation("Holidays › Days", "handbook/holidays.md", "Everybody has 30 days off a year."),
    Citation("Handbook", "https://docs.example/holidays", "See the calendar."),
)


async def say(page: Page, text: str) -> None:
    """Write a message and send it by Enter."""
    await expect(page.locator("body[data-live]")).to_be_attached()
    await page.fill("#text", text)
    await page.press("#text", "Enter")
