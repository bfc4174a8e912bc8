"""The root of every error that Fennel raises on purpose, and all that grow from it.

FennelError
├── SettingsError               config: a setting that cannot be used
├── WireError                   contract: something in Redis that is no record of ours
│   └── NewerWireError          a record of a newer Fennel
├── HealthError                 health: the port for metrics cannot be used
├── TracingError                health: traces are wanted and cannot be sent
├── PlatformError               bot: the chat platform refused, or may have
│   ├── NotConfiguredError      it is not set up
│   ├── LinkDeadError           the link is gone and does not come back
│   │   └── LinkTakenError      another instance has taken it
│   ├── SendRefusedError        what we sent is refused for good
│   │   ├── TooLateToEditError  this message cannot be edited any more
│   │   ├── SlackRefusedError   with Slack's own code
│   │   └── LarkRefusedError    with Lark's own code
│   ├── SendLaterError          not now; nothing was shown
│   ├── SendAmbiguousError      the connection broke: shown, or not
│   ├── ForgedError             an event that the platform did not write
│   ├── LoginOverError          WeChat has ended the login
│   └── TooManyGuessesError     wrong passwords for the web page
├── UploadError                 bot: a file that the web page does not take
├── InboxError                  bot: a question could not be taken in
├── RedisUnusableError          bot: Redis does not let us in
├── LockHeldError               bot: another bot serves this account
├── LockLostError               bot: another bot has taken this account over
├── EngineError                 workers: the engine cannot answer
│   ├── ModelError              the model cannot be used
│   ├── EngineDiedError         the engine ended, or is being started
│   ├── PromptTooLongError      the prompt is longer than the model takes
│   └── GenerationCancelledError    somebody stopped the answer
├── KnowledgeError              workers: an index, a source or a binding that cannot be used
│   └── DocumentError           a document that cannot be read
├── GateModelError              workers: what was tuned cannot be used
├── WorkerRunningError          workers: a worker of this name runs already
├── WrongWorkerError            workers: another program's worker took a question
├── StackError                  cli: the programs cannot be started or stopped
│   └── NotRunningError         they are not running
├── NothingRunningError         cli: nobody is there who would answer
├── ArchiveError                cli: a backup cannot be written or brought back
├── ModelCommandError           cli: a model cannot be looked at
└── QuestionFileError           cli: a file with questions cannot be read

`docs/errors.md` tells of each what caused it and what mends it, by its code.
"""

from __future__ import annotations

import re
from typing import ClassVar


class FennelError(Exception):
    """Something went wrong that a person can be told of in one sentence; `str(error)` is that sentence.

    Attributes:
        error_code: what docs/errors.md lists it by, the class's own name: `not-running` of NotRunningError.
            Of an error that is no more than this class, `failed`.
    """

    error_code: ClassVar[str] = "failed"

    def __init_subclass__(cls) -> None:
        cls.error_code = error_code_of(cls.__name__)

    @property
    def told(self) -> str:
        """The sentence with the code behind it, as a person at a terminal is told it."""
        return f"{self} [{self.error_code}]"


def error_code_of(class_name: str) -> str:
    """The code of the class with this name: `not-running` of NotRunningError."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", class_name.removesuffix("Error")).lower()
