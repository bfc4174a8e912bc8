"""A section of the settings: one table of the file. Platforms and engines of others are given theirs too."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

TenantId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*:[^\s:]+$")]
MemberId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*:[^\s:]+:\S+$")]


class Section(BaseModel):
    """Base of the sections: frozen, and refusing keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
