"""What Slack accepts inside a message, and what a person sees of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from tests.fakes.slack.arguments import ApiError, Arguments
from tests.fakes.slack.rules import Rules

Blocks = list[dict[str, Any]]

CHUNK_FIELDS = {"markdown_text": "text", "task_update": "id", "plan_update": "title", "blocks": "blocks"}
BUTTON_TYPES = ("button", "feedback_buttons", "icon_button")
EVERYONE = re.compile(r"<!(channel|here|everyone)[|>]|<!subteam\^")


def read_blocks(arguments: Arguments, rules: Rules, name: str = "blocks") -> Blocks | None:
    """The blocks of a call, checked; None where there are none. Raises ApiError."""
    blocks: Blocks | None = arguments.structure(name, list, "invalid_blocks_format")
    if blocks is not None:
        check_blocks(blocks, rules)
    return blocks


def check_blocks(blocks: Blocks, rules: Rules) -> None:
    """Raise ApiError for blocks that Slack refuses."""
    if len(blocks) > rules.max_blocks:
        raise ApiError("msg_blocks_too_many")
    markdown_chars = 0
    for block in blocks:
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise ApiError("invalid_blocks_format")
        if block["type"] == "markdown":
            markdown_chars += rules.length(str(block.get("text", "")))
        elif block["type"] == "section" and rules.length(shown(block)) > rules.section_text_chars:
            raise invalid(f"must be less than {rules.section_text_chars + 1} characters [json-pointer:/blocks/text]")
        elif block["type"] == "context_actions" and len(block.get("elements", [])) > rules.max_context_actions:
            raise invalid(f"no more than {rules.max_context_actions} items allowed [json-pointer:/blocks/elements]")
    if markdown_chars > rules.markdown_text_chars or rules.length(shown(blocks)) > rules.all_blocks_chars:
        raise ApiError("msg_blocks_too_long")


def invalid(why: str) -> ApiError:
    """The error for blocks that do not fit the schema, with Slack's list of reasons."""
    return ApiError("invalid_blocks", response_metadata={"messages": [f"[ERROR] {why}"]})


def read_metadata(arguments: Arguments, rules: Rules) -> dict[str, Any] | None:
    """A call's metadata, checked; an empty object takes metadata away. Raises ApiError."""
    metadata: dict[str, Any] | None = arguments.structure("metadata", dict, "invalid_metadata_format")
    if not metadata:
        return metadata
    if not isinstance(metadata.get("event_type"), str) or not isinstance(metadata.get("event_payload"), dict):
        raise ApiError("invalid_metadata_format")
    if len(json.dumps(metadata).encode()) > rules.max_metadata_bytes:
        raise ApiError("metadata_too_large")
    return metadata


def read_markdown_text(arguments: Arguments, rules: Rules) -> str | None:
    """The ``markdown_text`` of a call. Raises ApiError where it is too long."""
    text = arguments.get("markdown_text")
    if text is not None and rules.length(text) > rules.markdown_text_chars:
        raise ApiError("msg_too_long")
    return text


def read_chunks(arguments: Arguments, rules: Rules) -> list[dict[str, Any]]:
    """The streaming chunks of a call, checked. Raises ApiError."""
    chunks: list[dict[str, Any]] = arguments.structure("chunks", list, "invalid_chunks") or []
    for chunk in chunks:
        name = CHUNK_FIELDS.get(str(chunk.get("type"))) if isinstance(chunk, dict) else None
        if name is None or name not in chunk:
            raise ApiError("invalid_chunks")
        if name == "text" and rules.length(chunk["text"]) > rules.markdown_text_chars:
            raise ApiError("msg_too_long")
        if name == "blocks":
            check_blocks(chunk["blocks"], rules)
    return chunks


def shown(content: Any) -> str:
    """The words that a person sees in a block or a list of blocks, one line for each piece of text."""
    if isinstance(content, list):
        return "\n".join(filter(None, (shown(part) for part in content)))
    if not isinstance(content, dict):
        return ""
    if isinstance(content.get("text"), str):
        return str(content["text"])
    if content.get("type") in BUTTON_TYPES:
        return ""
    if content.get("type") == "rich_text_section":
        return "".join(shown(element) for element in content.get("elements", []))
    parts = (content.get(name) for name in ("title", "text", "fields", "elements"))
    return "\n".join(filter(None, (shown(part) for part in parts)))


def buttons(blocks: Blocks) -> Iterable[tuple[str, dict[str, Any]]]:
    """Every clickable element with the id of its block; blocks without an id get one by their place."""
    for place, block in enumerate(blocks):
        elements = [*block.get("elements", []), block.get("accessory")]
        for element in elements:
            if isinstance(element, dict) and element.get("type") in BUTTON_TYPES:
                yield str(block.get("block_id", f"block{place}")), element


def notifies_everyone(text: str) -> bool:
    """Whether a text mentions a whole channel or group of people."""
    return EVERYONE.search(text) is not None
