"""Keys in documents."""

from __future__ import annotations

from pathlib import Path

from config.secrets import MASK
from tests.workers.knowledge.base import KnowledgeBase


def test_a_key_in_a_document_is_never_indexed(tmp_path: Path) -> None:
    """Its words are found, the key is not there to be found, and the operator is told."""
    token = "ghp_" + "a1B2" * 9
    pem = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEowSecret\n-----END RSA " + "PRIVATE KEY-----"
    page = tmp_path / "deploy.md"
    page.write_text(f"# Deploys\n\nThe deploy token is {token} until May.\n\n```\n{pem}\n```\n")
    base = KnowledgeBase(tmp_path)
    (result,) = base.add(page)
    assert "masked" in result.reason
    texts = " ".join(hit.passage.text for hit in base.retriever.search("deploy token", 5))
    assert MASK in texts
    assert token not in texts
    assert "MIIEow" not in texts
    assert token.encode() not in base.file.read_bytes()
