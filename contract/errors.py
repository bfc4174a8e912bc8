"""The root of every error that Fennel raises on purpose.

FennelError
├── WireError            contract: something in Redis that is no record of ours
├── SettingsError        config: a setting that cannot be used
├── EngineError          workers: the engine cannot answer
├── KnowledgeError       workers: a document or an index that cannot be used
└── PlatformError        bot: the chat platform refused, or may have
"""


class FennelError(Exception):
    """Something went wrong that a person can be told of in one sentence; `str(error)` is that sentence."""
